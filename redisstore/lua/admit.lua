-- admit.lua: the admission step (DESIGN §2.1). Decides replay, idempotency,
-- key state, membership, every quota window and the backlog, and writes the
-- job, or nothing. 7 commands when it admits, 8 for a job of an unusual
-- lifetime, one more on the edge that rings the bell. It is the hot path: no
-- function that is not needed, no number that a text serves for.
--
-- Everything but replay and idempotency is decided on one read. Those two are
-- SET … NX GET: look-up and write in one. The one write that is ever taken back
-- is the nonce of a request whose idempotency key turns out to belong to
-- another request: a refusal must not burn it.
--
-- Where signatures count once, the mark of this one is decided and written with
-- the nonce, and an idempotency key that made a job is refused. Without an
-- operation id nothing is written: the answer is what would be decided. Both are
-- looked up first, as is a request for which there is no room.
--
-- KEYS  1 account  2 nonce  3 job  4 stream  5 due  6 events
--       7 mark of a single-use signature, or none
-- ARGV  1 operation id, "" to try it out  2 nonce lifetime, ms  3 secret id
--       4 job lifetime, ms  5 the same and the retention, ms
--       6 body of the record: idempotencyKey, trackingUrl, source, rowId (the
--         fingerprint) and context, each with a newline behind it
--       7 profile that the caller knows; the rest follows from it
--       8 the refusal it means, or ""  9 end of the membership, ms, 0 = none
--       10 per minute  11 per day  12 per month  13 max backlog; 0 = none
-- Returns {outcome, now ms, counters, detail}; outcome is
--   new       detail = when the job was created, ms; or its record
--   known     detail = record of the job that the key made before
--   profile   detail = the account's profile: run again with what follows from it
--   or a code of CONTRACT §5, signature_replayed or a refusal of secret.lua. detail
--   of quota_exceeded names the windows; of nonce_replayed, signature_replayed and
--   idempotency_key_reused it is the record under this idempotency key if there is
--   one; of backlog_full "stale" when waiting jobs may have expired: settle, run again
local t = redis.call('TIME')
local clock = t[1] .. string.sub('00000' .. t[2], -6, -4)
if clock > ARGV[#ARGV] then return { 'late', tonumber(clock) } end -- see guard.lua
local a = redis.call('HMGET', KEYS[1], 'p', 'k:' .. ARGV[3], 'c', 'q', 'em', 'es', 'w')

local now = tonumber(clock)

if a[1] ~= ARGV[7] then return { a[1] and 'profile' or 'key_revoked', clock, '', a[1] or '' } end
if a[2] ~= '0' and (not a[2] or tonumber(a[2]) <= now) then return { secret_refusal(KEYS[1], ARGV[3], a[2], now), clock, a[3] or '', '' } end
if ARGV[8] ~= '' then return { ARGV[8], clock, a[3] or '', '' } end
if ARGV[9] ~= '0' and tonumber(ARGV[9]) <= now then return { 'membership_inactive', clock, a[3] or '', '' } end

local limits = { tonumber(ARGV[10]), tonumber(ARGV[11]), tonumber(ARGV[12]), tonumber(ARGV[13]) }
local waiting = tonumber(a[4] or 0)
local counters = quota_open(a[3], now)
local full = quota_full(counters, limits, now)

-- The nonce of a request that found its job made before holds the operation id
-- with a minus: a second run after a lost reply answers the same.
local op, op_known = ARGV[1], '-' .. ARGV[1]

-- A retry is answered with its job even when there is no room for a new one.
local function same_request(record)
  local print = string.match(ARGV[6], '^[^\n]*\n[^\n]*\n[^\n]*\n[^\n]*\n')
  local nl = string.find(record, '\n', 1, true)
  return string.sub(record, nl + 1, nl + #print) == print
end
local no_place = limits[4] > 0 and waiting >= limits[4]
if full or no_place or KEYS[7] or op == '' then
  local function answer(outcome, detail) return { outcome, clock, a[3] or '', detail or '' } end
  local seen = redis.call('GET', KEYS[2])
  local known = redis.call('GET', KEYS[3])
  if seen and seen ~= op and seen ~= op_known then return answer('nonce_replayed', known) end
  if KEYS[7] then
    local used = redis.call('GET', KEYS[7])
    if used and used ~= op then return answer('signature_replayed', known) end
    if known and seen ~= op then return answer('idempotency_key_reused', known) end
  end
  if known then
    if not same_request(known) then return answer('idempotency_key_mismatch') end
    -- Also where it changes nothing: a write is what WAIT waits for.
    if op ~= '' then redis.call('SET', KEYS[2], seen or op_known, 'PX', ARGV[2]) end
    return answer(seen == op and 'new' or 'known', known)
  end
  if full == 'minute' then return answer('rate_limited', full) end
  if full then return answer('quota_exceeded', full) end
  if no_place then
    local due = redis.call('ZRANGE', KEYS[5], 0, 0, 'WITHSCORES')
    local oldest = redis.call('XRANGE', KEYS[4], '(' .. (redis.call('HGET', KEYS[1], 'sw') or '0'), '+', 'COUNT', 1)
    local stale = (due[2] and tonumber(due[2]) <= now)
      or (oldest[1] and string.match(oldest[1][1], '^%d+') + USUAL_LIFETIME <= now)
    return answer('backlog_full', stale and 'stale')
  end
  if op == '' then return answer('new', clock) end
  redis.call('SET', KEYS[7], op, 'PX', ARGV[2])
end

local seen = redis.call('SET', KEYS[2], op, 'NX', 'GET', 'PX', ARGV[2])
if seen then
  local known = redis.call('GET', KEYS[3])
  if seen ~= op and seen ~= op_known then return { 'nonce_replayed', clock, a[3] or '', known or '' } end
  -- Our own earlier run. The write, of no effect, is what WAIT waits for.
  redis.call('PEXPIRE', KEYS[2], ARGV[2])
  if known then return { not same_request(known) and 'idempotency_key_mismatch' or seen == op and 'new' or 'known', clock, a[3] or '', known } end
end
-- An entry's id is ours to choose, so that the record can hold it from the
-- start. Ids only grow, also when the clock was stepped back.
local created, seq = clock, '0'
if a[5] and a[5] >= clock then created, seq = a[5], string.format('%d', a[6] + 1) end
local known = redis.call('SET', KEYS[3], 'q ' .. created .. ' ' .. ARGV[4] .. ' 0 0 ' .. seq .. ' 0 - - 0\n' .. ARGV[6], 'NX', 'GET', 'PX', ARGV[5])
if known then
  if same_request(known) then
    redis.call('SET', KEYS[2], op_known, 'PX', ARGV[2])
    return { 'known', clock, a[3] or '', known }
  end
  redis.call('DEL', KEYS[2])
  return { 'idempotency_key_mismatch', clock, a[3] or '', '' }
end
redis.call('XADD', KEYS[4], created .. '-' .. seq, 'j', KEYS[3])
-- Jobs of the usual lifetime expire in the order of the stream: see settle.lua.
if ARGV[4] ~= string.format('%d', USUAL_LIFETIME) then redis.call('ZADD', KEYS[5], string.format('%d', created + ARGV[4]), KEYS[3]) end
quota_charge(counters, limits, now)
local charged = quota_text(counters)
redis.call('HSET', KEYS[1], 'c', charged, 'q', string.format('%d', waiting + 1), 'em', created, 'es', seq, 'w', '0')
redis.call('XADD', KEYS[6], 'MAXLEN', '~', EVENTS_MAX, '*', 'k', 'job.queued', 'a', ARGV[3], 'j', KEYS[3], 'c', created)
if a[7] == '1' then redis.call('PUBLISH', BELL, 'j ' .. string.match(KEYS[1], '{(.*)}')) end
return { 'new', clock, charged, created }
