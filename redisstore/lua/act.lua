-- act.lua: one act of a device on a delivery, proven by its lease token.
-- Running it twice gives the same answer.
--
-- KEYS  as jobs.lua, then 7 job  8 nonce  9 mark of a single-use signature, or none
-- ARGV  as jobs.lua, then 3 secret id  4 operation id  5 nonce lifetime, ms
--       6 device id  7 verb  8 hash of the lease token  9 created, ms
--       10 lease, ms  11 max attempts  12 tail: result or failure text
--       13 "1" if the failure may be retried  14 delay of the retry in ms, or ""
--       15 jitter, 0 to 1
-- Returns {outcome, now, record}: ok, job_final, lease_lost, not_found, or a
--   refusal of guard.lua
local verb, device, token = ARGV[7], ARGV[6], ARGV[8]
local refusal = guard(ACCT, KEYS[8], KEYS[9], ARGV[3], ARGV[4], now)
if refusal then return { refusal, now, '' } end
local key = KEYS[7]
local text = redis.call('GET', key)
if not text then return { 'not_found', now, '' } end
local head, body = decode(text)
if head[CREATED] ~= ARGV[9] then return { 'not_found', now, '' } end
local state = head[STATE]
local mine = head[TOKEN] == token and head[DEVICE] == device
-- fail and release leave the token and take the device away: done already.
local repeated = (state == 's' and verb == 'complete' and mine)
  or (state == 'd' and verb == 'fail' and head[TOKEN] == token)
  or (state == 'q' and (verb == 'fail' or verb == 'release') and head[TOKEN] == token and head[DEVICE] == '-')
  or (state == 'r' and verb == 'accept' and mine)
if repeated then
  burn(KEYS[8], KEYS[9], ARGV[4], ARGV[5])
  return { 'ok', now, text }
end
if final(head) then return { 'job_final', now, text } end
if now >= expires(head) then
  text = finish(key, head, body, 'x', 'job.expired')
  send_bell()
  return { 'job_final', now, text }
end
if not mine then return { 'lease_lost', now, text } end

-- A holder whose lease lapsed is still the holder while nobody else is.
local function hold(kind)
  if state ~= 'r' then
    if state == 'q' then
      redis.call('HINCRBY', ACCT, 'f:' .. device, 1)
      redis.call('ZREM', READY, key)
    end
    if state == 'o' then head[ATTEMPTS] = head[ATTEMPTS] + 1 end
    count(state, 'r')
    head[STATE] = 'r'
    event(kind, key, head)
  end
  head[TIME] = math.min(now + ARGV[10], expires(head))
  redis.call('ZADD', DUE, head[TIME], key)
  text = save(key, head, body)
end

if verb == 'accept' then
  hold('job.accepted')
elseif verb == 'extend' then
  if state == 'o' then return { 'lease_lost', now, text } end
  hold('job.resumed')
elseif verb == 'complete' then
  if state == 'o' then head[ATTEMPTS] = head[ATTEMPTS] + 1 end
  text = finish(key, head, set_tail(body, ARGV[12]), 's', 'job.succeeded')
elseif verb == 'release' then
  if state ~= 'o' then head[ATTEMPTS] = math.max(0, head[ATTEMPTS] - 1) end
  text = requeue(key, head, body, now, '-', 'job.released')
else
  if state == 'o' then head[ATTEMPTS] = head[ATTEMPTS] + 1 end
  body = set_tail(body, ARGV[12])
  local attempts = tonumber(head[ATTEMPTS])
  if ARGV[13] ~= '1' or attempts >= tonumber(ARGV[11]) then
    text = finish(key, head, body, 'd', 'job.dead')
  else
    -- Exponential with full jitter over the upper half: 5 s, 10 s, … 10 min.
    local delay = tonumber(ARGV[14]) or math.floor(math.min(600000, 5000 * 2 ^ (attempts - 1)) * (0.5 + ARGV[15] / 2))
    text = requeue(key, head, body, now + delay, '-', 'job.retry')
  end
end
burn(KEYS[8], KEYS[9], ARGV[4], ARGV[5])
send_bell()
return { 'ok', now, text }
