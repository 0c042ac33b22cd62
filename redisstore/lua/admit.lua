-- admit.lua: the admission step (DESIGN §2.1). Decides replay, idempotency,
-- key state, membership, every quota window and the backlog, and writes the
-- job, or nothing. 8 commands when it admits, 9 on the edge that rings the bell.
--
-- Everything but replay and idempotency is decided on one read. Those two are
-- SET … NX GET: look-up and write in one. The one write that is ever taken back
-- is the nonce of a request whose idempotency key turns out to belong to
-- another request: a refusal must not burn it.
--
-- KEYS  1 account  2 nonce  3 job  4 stream  5 due  6 events
-- ARGV  1 operation id  2 nonce lifetime, ms  3 key id  4 job lifetime, ms
--       5 fingerprint "idempotencyKey\ntrackingUrl\nsource\nrowId\n"
--       6 context, compact JSON or ""  7 account id
--       8 plan the limits below are of  9 "1" if it includes API Links
--       10 per minute  11 per day  12 per month  13 max backlog; 0 = none
--       14 "1" to decide only: nothing is written, "new" means it would be
-- Returns {outcome, now ms, profile, counters, detail}; outcome is
--   new       detail = head of the record
--   known     detail = record of the job that the key made before
--   plan      detail = the account's plan: run again with its limits
--   or a code of CONTRACT §5. detail of quota_exceeded names the windows, of
--   nonce_replayed it is the record under this idempotency key if there is one,
--   of backlog_full "stale" when waiting jobs may have expired: settle, run again
local now = clock()
local a = redis.call('HMGET', KEYS[1], 'p', 'k:' .. ARGV[3], 'c', 'q', 'e', 'w')
local profile = a[1]
if not profile then return { 'key_revoked', now, '', '', '' } end
local function answer(outcome, detail) return { outcome, now, profile, a[3] or '', detail or '' } end

local refusal = key_refusal(a[2], now)
if refusal then return answer(refusal) end
local state, ends, plan, o1, o2, o3, o4 = string.match(profile, '^(%S+) (%S+) (%S+) (%S+) (%S+) (%S+) (%S+)')
ends = tonumber(ends)
if state ~= 'active' or (ends > 0 and ends <= now) then return answer('membership_inactive') end
if plan ~= ARGV[8] then return answer('plan', plan) end
if ARGV[9] ~= '1' then return answer('plan_feature_unavailable') end

local limits = {
  tonumber(o1) or tonumber(ARGV[10]), tonumber(o2) or tonumber(ARGV[11]),
  tonumber(o3) or tonumber(ARGV[12]), tonumber(o4) or tonumber(ARGV[13]),
}
local waiting = tonumber(a[4] or 0)
local counters = quota_open(a[3], now)
local full = quota_full(counters, limits, now)
local backlogged = limits[4] > 0 and waiting >= limits[4]

-- A retry is answered with its job even when there is no room for a new one.
local function same_request(record)
  local nl = string.find(record, '\n', 1, true)
  return string.sub(record, nl + 1, nl + #ARGV[5]) == ARGV[5]
end
if full or backlogged or ARGV[14] == '1' then
  local seen = redis.call('GET', KEYS[2])
  local known = redis.call('GET', KEYS[3])
  if seen and seen ~= ARGV[1] then return answer('nonce_replayed', known) end
  if known then
    if not same_request(known) then return answer('idempotency_key_mismatch') end
    if ARGV[14] ~= '1' then burn(KEYS[2], ARGV[1], ARGV[2]) end
    return answer(seen and 'new' or 'known', known)
  end
  if full == 'minute' then return answer('rate_limited', full) end
  if full then return answer('quota_exceeded', full) end
  if backlogged then
    local due = redis.call('ZRANGE', KEYS[5], 0, 0, 'WITHSCORES')
    return answer('backlog_full', due[2] and tonumber(due[2]) <= now and 'stale')
  end
  return answer('new')
end

local seen = redis.call('SET', KEYS[2], ARGV[1], 'NX', 'GET', 'PX', ARGV[2])
if seen then
  local known = redis.call('GET', KEYS[3])
  if seen ~= ARGV[1] then return answer('nonce_replayed', known) end
  -- Our own earlier run. The write, of no effect, is what WAIT waits for.
  redis.call('PEXPIRE', KEYS[2], ARGV[2])
  if known then return answer(same_request(known) and 'new' or 'idempotency_key_mismatch', known) end
end

-- The entry's id is ours to choose, so that the record can hold it from the
-- start; it only grows, also when the clock steps back.
local ms, seq = string.match(a[5] or '', '^(%d+)-(%d+)$')
local entry = now .. '-0'
if ms and tonumber(ms) >= now then entry = ms .. '-' .. (seq + 1) end
local expires = now + ARGV[4]
local head = table.concat({ 'q', now, expires, 0, 0, entry, 0, '-', '-', 0 }, ' ')
local known = redis.call('SET', KEYS[3], head .. '\n' .. ARGV[5] .. ARGV[6] .. '\n', 'NX', 'GET', 'PX', ARGV[4] + RETENTION)
if known then
  if same_request(known) then return answer('known', known) end
  redis.call('DEL', KEYS[2])
  return answer('idempotency_key_mismatch')
end
redis.call('XADD', KEYS[4], entry, 'j', KEYS[3])
redis.call('ZADD', KEYS[5], expires, KEYS[3])
quota_charge(counters, limits, now)
a[3] = quota_text(counters)
redis.call('HSET', KEYS[1], 'c', a[3], 'q', waiting + 1, 'e', entry, 'w', 0)
redis.call('XADD', KEYS[6], 'MAXLEN', '~', EVENTS_MAX, '*', 'k', 'job.queued', 'a', ARGV[3], 'j', KEYS[3], 'c', now)
if a[6] == '1' then redis.call('PUBLISH', BELL, 'j ' .. ARGV[7]) end
return answer('new', head)
