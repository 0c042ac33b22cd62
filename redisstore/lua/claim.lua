-- claim.lua: offers a device as many jobs as it has room for. Settles what is
-- due first; jobs that wait for another delivery go before new ones.
--
-- KEYS  as jobs.lua
-- ARGV  as jobs.lua, then 3 device id  4 secret id  5 places the device asks for
--       6 limit of places by the profile, 0 = none  7 the profile the caller knows
--       8 time to accept, ms  9 max attempts  10 hash of the lease token
--       11 offers at the most
-- Returns {outcome, now, next, offers, rested}: outcome ok, profile (offers =
--   the account's profile: run again with its limit), key_revoked or key_expired;
--   next = the account's next deadline in ms or 0; offers = {key, record, key,
--   record, …}; rested = when this very device may have a job that it let lapse,
--   in ms or 0
local p = redis.call('HMGET', ACCT, 'p', 'k:' .. ARGV[4])
if not p[1] then return { 'key_revoked', now, 0, {} } end
local refusal = secret_refusal(ACCT, ARGV[4], p[2], now)
if refusal then return { refusal, now, 0, {} } end
if p[1] ~= ARGV[7] then return { 'profile', now, 0, p[1] } end

local device, accept_by = ARGV[3], now + ARGV[8]
local settled = settle(SETTLE_MAX, tonumber(ARGV[9]))
local places = tonumber(ARGV[5])
local limit = tonumber(ARGV[6])
if limit > 0 then places = math.min(places, limit) end
places = places - (tonumber(redis.call('HGET', ACCT, 'f:' .. device)) or 0)
local most = math.min(places, tonumber(ARGV[11]))

local offers, used = {}, 0
local function offer(key, head, body)
  used = used + 1
  head[STATE], head[TIME], head[DEVICE], head[TOKEN] = 'o', accept_by, device, ARGV[10]
  head[DELIVERIES] = head[DELIVERIES] + 1
  redis.call('ZADD', DUE, math.min(accept_by, expires(head)), key)
  offers[#offers + 1], offers[#offers + 2] = key, save(key, head, body)
  event('job.offered', key, head)
end

local rested = 0
for _, key in ipairs(most > 0 and redis.call('ZRANGE', READY, 0, most + RESTING_MAX - 1) or {}) do
  local head, body = fetch(key)
  if not head or head[STATE] ~= 'q' then
    redis.call('ZREM', READY, key)
  elseif now >= expires(head) then
    finish(key, head, body, 'x', 'job.expired')
  elseif head[DEVICE] == device and rest(head) > now then
    rested = rested == 0 and rest(head) or math.min(rested, rest(head))
  elseif used < most then
    redis.call('XCLAIM', STREAM, GROUP, device, 0, entry_id(head), 'JUSTID')
    redis.call('ZREM', READY, key)
    offer(key, head, body)
  end
end

-- New jobs. An entry whose job is gone, final, or another's is dropped: the
-- record is the truth. Rounds are bounded; what remains is found next time.
local empty = false
for _ = 1, 8 do
  if used >= most or empty then break end
  local read = redis.pcall('XREADGROUP', 'GROUP', GROUP, device, 'COUNT', most - used, 'STREAMS', STREAM, '>')
  if read and read.err then
    redis.call('XGROUP', 'CREATE', STREAM, GROUP, '0', 'MKSTREAM')
    read = redis.call('XREADGROUP', 'GROUP', GROUP, device, 'COUNT', most - used, 'STREAMS', STREAM, '>')
  end
  local entries = read and read[1] and read[1][2] or {}
  empty = #entries == 0
  for _, entry in ipairs(entries) do
    local key = entry[2] and entry[2][2]
    local head, body
    if key then head, body = fetch(key) end
    if not head or head[STATE] ~= 'q' or entry_id(head) ~= entry[1] then
      drop(entry[1], head)
    elseif now >= expires(head) then
      finish(key, head, body, 'x', 'job.expired')
    else
      offer(key, head, body)
    end
  end
end

if used > 0 then redis.call('HINCRBY', ACCT, 'f:' .. device, used) end
if used < places then
  redis.call('HSET', ACCT, 'w', 1)
else
  redis.call('HSET', ACCT, 'h:' .. device, 1)
end
send_bell()
local due = redis.call('ZRANGEBYSCORE', DUE, '(' .. now, '+inf', 'WITHSCORES', 'LIMIT', 0, 1)
local next_due = due[2] and tonumber(due[2]) or 0
if settled == SETTLE_MAX then next_due = now + 1 end -- there may be more
return { 'ok', now, next_due, offers, rested }
