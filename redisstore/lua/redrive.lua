-- redrive.lua: gives a dead job its life back, with fresh attempts and its full
-- lifetime; or drops its dead letter.
--
-- KEYS  as jobs.lua, then 6 job
-- ARGV  as jobs.lua, then 3 redrive or drop  4 id of the dead letter  5 the
--       record it kept, for when the job's own is past its retention
-- Returns {outcome, now, record}: ok, not_found (no such dead letter), or
--   job_final (the idempotency key has made another job since)
if redis.call('XDEL', DEAD, ARGV[4]) == 0 then return { 'not_found', now, '' } end
local key = KEYS[6]
local head, body = decode(ARGV[5])
if ARGV[3] == 'drop' then
  event('job.dropped', key, head)
  return { 'ok', now, ARGV[5] }
end
local text = redis.call('GET', key)
if text then
  local present = decode(text)
  if present[STATE] ~= 'd' or present[CREATED] ~= head[CREATED] then
    redis.call('XADD', DEAD, '*', 'j', key, 'r', ARGV[5])
    return { 'job_final', now, text }
  end
end
local ms, seq = string.match(redis.call('HGET', ACCT, 'e') or '', '^(%d+)-(%d+)$')
local entry = now .. '-0'
if ms and tonumber(ms) >= now then entry = ms .. '-' .. (seq + 1) end
local lifetime = head[EXPIRES] - head[CREATED]
head[STATE], head[EXPIRES], head[ATTEMPTS], head[ENTRY] = 'q', now + lifetime, 0, entry
head[TIME], head[DEVICE], head[TOKEN] = 0, '-', '-'
text = encode(head, body)
redis.call('SET', key, text, 'PX', lifetime + RETENTION)
redis.call('XADD', STREAM, entry, 'j', key)
redis.call('ZADD', DUE, head[EXPIRES], key)
redis.call('HSET', ACCT, 'e', entry)
redis.call('HINCRBY', ACCT, 'q', 1)
event('job.redriven', key, head)
wake()
send_bell()
return { 'ok', now, text }
