-- redrive.lua: gives a dead job its life back, with fresh attempts and its full
-- lifetime; or drops its dead letter.
--
-- KEYS  as jobs.lua, then 7 job
-- ARGV  as jobs.lua, then 3 redrive or drop  4 id of the dead letter  5 the
--       record it kept, for when the job's own is past its retention
-- Returns {outcome, now, record}: ok, not_found (no such dead letter), or
--   already_exists (the idempotency key has made another job since)
if #redis.call('XRANGE', DEAD, ARGV[4], ARGV[4], 'COUNT', 1) == 0 then return { 'not_found', now, '' } end
local key = KEYS[7]
local head, body = decode(ARGV[5])
if ARGV[3] == 'drop' then
  redis.call('XDEL', DEAD, ARGV[4])
  event('job.dropped', key, head)
  return { 'ok', now, ARGV[5] }
end
local text = redis.call('GET', key)
if text then
  local present = decode(text)
  if present[STATE] ~= 'd' or present[CREATED] ~= head[CREATED] then return { 'already_exists', now, text } end
end
redis.call('XDEL', DEAD, ARGV[4])
local last = redis.call('HMGET', ACCT, 'em', 'es')
local ms, seq = string.format('%d', now), 0
if last[1] and last[1] >= ms then ms, seq = last[1], last[2] + 1 end
-- A redriven job's entry tells when: what came before is no part of its lifetime.
local before = string.match(head[ENTRY], '^(%d+)-')
local lifetime = head[LIFETIME] - (before and before - head[CREATED] or 0)
head[STATE], head[ATTEMPTS], head[ENTRY], head[TIME] = 'q', 0, ms .. '-' .. string.format('%d', seq), 0
head[LIFETIME] = ms - head[CREATED] + lifetime
head[DEVICE], head[TOKEN] = '-', '-'
text = encode(head, body)
redis.call('SET', key, text, 'PX', expires(head) - now + RETENTION)
redis.call('XADD', STREAM, head[ENTRY], 'j', key)
redis.call('ZADD', DUE, expires(head), key)
redis.call('HSET', ACCT, 'em', ms, 'es', seq)
redis.call('HINCRBY', ACCT, 'q', 1)
event('job.redriven', key, head)
wake()
send_bell()
return { 'ok', now, text }
