-- jobs.lua: the life of a job after its admission. Composed behind guard.lua
-- and in front of every script that changes a job.
--
-- KEYS  1 account  2 stream  3 due  4 events  5 dead letters  6 ready
--       of one account
-- ARGV  1 account id  2 actor (for the audit trail)
--
-- A record is "head\nidempotencyKey\ntrackingUrl\nsource\nrowId\ncontext\ntail".
-- head holds, separated by spaces:
local STATE, CREATED, LIFETIME, ATTEMPTS, DELIVERIES, ENTRY, TIME, DEVICE, TOKEN, WATCHED = 1, 2, 3, 4, 5, 6, 7, 8, 9, 10
--   state     q queued, o offered, r running; final: s succeeded, d dead,
--             c cancelled, x expired
--   created, and lifetime from then on until the job expires (ms)
--   entry     of the stream: its number within the millisecond of created, or
--             the whole id when the job was redriven
--   time      queued: not before; offered: accept by; running: lease expiry;
--             final: finished at (ms)
--   device    who holds it, or held it last; "-" when given back
--   token     hash of the lease token of the last delivery
--   watched   1 when somebody waits for the final state: ring on it
-- tail is the result (s), or the text of the last failure.
--
-- due holds every open job that was offered at least once at its next deadline,
-- which is its time or its expiry; and at their expiry, the waiting jobs of an
-- unusual lifetime. ready holds the jobs that wait for another delivery now, in
-- the order in which they came to. The stream's pending entries are the jobs
-- that were offered at least once; an entry leaves with its job.
local ACCT, STREAM, DUE, EVENTS, DEAD, READY = KEYS[1], KEYS[2], KEYS[3], KEYS[4], KEYS[5], KEYS[6]
local ACCOUNT, ACTOR = ARGV[1], ARGV[2]
local now = clock()
if late(now) then return { 'late', now } end
local ring = false -- whether devices of the account should claim again

local function decode(text)
  local nl = string.find(text, '\n', 1, true)
  local head = {}
  for field in string.gmatch(string.sub(text, 1, nl - 1), '%S+') do head[#head + 1] = field end
  return head, string.sub(text, nl + 1)
end
-- Reads and decodes a record; nothing when there is none.
local function fetch(key)
  local text = redis.call('GET', key)
  if text then return decode(text) end
end
local function encode(head, body) return table.concat(head, ' ') .. '\n' .. body end
local function set_tail(body, tail)
  return string.match(body, '^[^\n]*\n[^\n]*\n[^\n]*\n[^\n]*\n[^\n]*\n') .. tail
end
local function expires(head) return head[CREATED] + head[LIFETIME] end
local function entry_id(head)
  return string.find(head[ENTRY], '-', 1, true) and head[ENTRY] or head[CREATED] .. '-' .. head[ENTRY]
end
local function final(head) return head[STATE] == 's' or head[STATE] == 'd' or head[STATE] == 'c' or head[STATE] == 'x' end
-- When an offer that lapsed may go to the device that let it lapse: until then
-- it is for any other. Always, for every other job.
local function rest(head) return head[TOKEN] == '-' and head[DEVICE] ~= '-' and head[TIME] + HOLD_OFF or 0 end
local function held(head) return head[STATE] == 'o' or head[STATE] == 'r' end

local function event(kind, key, head)
  redis.call('XADD', EVENTS, 'MAXLEN', '~', EVENTS_MAX, '*', 'k', kind, 'a', ACTOR, 'j', key, 'c', head[CREATED])
end
-- From its first offer on, a record stays until its job is final, however long
-- nobody comes: what the job holds of a device and of the counters is found by it.
local function save(key, head, body)
  local text = encode(head, body)
  redis.call('SET', key, text)
  return text
end

-- Devices that wait for work are told once, by whoever brings it.
local function wake() ring = ring or redis.call('HDEL', ACCT, 'w') == 1 end
local function send_bell() if ring then redis.call('PUBLISH', BELL, 'j ' .. ACCOUNT) end end

-- Moves a job between the counters of waiting (q, o) and running (r) jobs.
local function count(from, to)
  local before, after = from == 'r' and 'r' or 'q', to == 'r' and 'r' or (to == 'q' or to == 'o') and 'q'
  if before == after then return end
  redis.call('HINCRBY', ACCT, before, -1)
  if after then redis.call('HINCRBY', ACCT, after, 1) end
end

-- Drops an entry that its record does not call for. One that has no record of its
-- own was never offered, and outlived expiry and retention: it waits no more.
local function drop(entry, head)
  redis.call('XACK', STREAM, GROUP, entry)
  redis.call('XDEL', STREAM, entry)
  if not head or entry_id(head) ~= entry then count('q') end
end

-- The holder's place becomes free; a device that was full is told.
local function leave(head)
  if not held(head) then return end
  redis.call('HINCRBY', ACCT, 'f:' .. head[DEVICE], -1)
  if redis.call('HDEL', ACCT, 'h:' .. head[DEVICE]) == 1 then ring = true end
end

local function finish(key, head, body, state, kind)
  leave(head)
  count(head[STATE], state)
  head[STATE], head[TIME] = state, now
  local entry = entry_id(head)
  redis.call('XACK', STREAM, GROUP, entry)
  redis.call('XDEL', STREAM, entry)
  redis.call('ZREM', DUE, key)
  redis.call('ZREM', READY, key)
  local text = encode(head, body)
  redis.call('SET', key, text, 'PX', RETENTION)
  if state == 'd' then redis.call('XADD', DEAD, 'MAXLEN', '~', DEAD_MAX, '*', 'j', key, 'r', text) end
  event(kind, key, head)
  if head[WATCHED] == '1' then redis.call('PUBLISH', BELL, 'd ' .. ACCOUNT .. ' ' .. key) end
  return text
end

local function make_ready(key, head)
  redis.call('ZADD', READY, now, key)
  redis.call('ZADD', DUE, expires(head), key)
  wake()
end

-- Back to waiting, for any device, at the given time. device is what the
-- record remembers of the holder: itself, when a late result of it is welcome.
local function requeue(key, head, body, at, device, kind)
  leave(head)
  count(head[STATE], 'q')
  head[STATE], head[TIME], head[DEVICE] = 'q', at, device
  if at <= now then make_ready(key, head) else redis.call('ZADD', DUE, math.min(at, expires(head)), key) end
  event(kind, key, head)
  return save(key, head, body)
end

-- Brings up to limit due jobs to where the clock has taken them; returns how
-- many. Each has a later deadline then, or none, so that none hides those behind it.
local function settle(limit, max_attempts)
  local due = redis.call('ZRANGEBYSCORE', DUE, '-inf', now, 'LIMIT', 0, limit)
  for _, key in ipairs(due) do
    local head, body = fetch(key)
    if not head or final(head) then
      redis.call('ZREM', DUE, key)
    elseif now >= expires(head) then
      finish(key, head, body, 'x', 'job.expired')
    elseif head[STATE] == 'o' then
      head[TOKEN] = '-'
      requeue(key, head, body, now, head[DEVICE], 'job.offer_lapsed')
    elseif head[STATE] == 'r' and tonumber(head[ATTEMPTS]) >= max_attempts then
      finish(key, head, set_tail(body, 'the lease expired before the job was completed'), 'd', 'job.dead')
    elseif head[STATE] == 'r' then
      requeue(key, head, body, now, head[DEVICE], 'job.lease_expired')
    else
      make_ready(key, head)
    end
  end
  return #due
end
