-- cancel.lua: ends a job on its platform's word. A waiting job gives its quota
-- back to the windows it was taken from; a device that holds it is told.
--
-- KEYS  as jobs.lua, then 7 job  8 nonce  9 mark of a single-use signature, or none
-- ARGV  as jobs.lua, then 3 secret id  4 operation id  5 nonce lifetime, ms
--       6 created, ms  7 the profile the caller knows, and what follows from
--       it:  8 limit per minute  9 per day; 0 = none
-- Returns {outcome, now, record}: ok (also when it was cancelled before),
--   job_final, not_found, profile (record = the account's profile: run again with
--   its limits), or a refusal of guard.lua
local refusal = guard(ACCT, KEYS[8], KEYS[9], ARGV[3], ARGV[4], now)
if refusal then return { refusal, now, '' } end
local a = redis.call('HMGET', ACCT, 'p', 'c')
if a[1] ~= ARGV[7] then return { 'profile', now, a[1] } end
local key = KEYS[7]
local text = redis.call('GET', key)
if not text then return { 'not_found', now, '' } end
local head, body = decode(text)
if head[CREATED] ~= ARGV[6] then return { 'not_found', now, '' } end
if not final(head) and now >= expires(head) then
  text = finish(key, head, body, 'x', 'job.expired')
end
if final(head) and head[STATE] ~= 'c' then
  send_bell()
  return { 'job_final', now, text }
end
if head[STATE] ~= 'c' then
  local state, device = head[STATE], head[DEVICE]
  if state ~= 'r' then
    local counters = quota_open(a[2], now)
    quota_refund(counters, { tonumber(ARGV[8]), tonumber(ARGV[9]) }, now, tonumber(head[CREATED]))
    redis.call('HSET', ACCT, 'c', quota_text(counters))
  end
  text = finish(key, head, body, 'c', 'job.cancelled')
  if state ~= 'q' then
    redis.call('PUBLISH', BELL, 'c ' .. ACCOUNT .. ' ' .. device .. ' ' .. key .. ' ' .. head[CREATED])
  end
end
burn(KEYS[8], KEYS[9], ARGV[4], ARGV[5])
send_bell()
return { 'ok', now, text }
