-- read.lua: what a signed request may read of its account: a job, the
-- counters, the inventory of keys, or nothing but the proof that it may ask.
--
-- KEYS  1 account  2 nonce  3 job, or inventory of keys, or the account again
--       4 uses of secrets  5 mark of a single-use signature, or none
-- ARGV  1 secret id  2 operation id  3 nonce lifetime, ms
--       4 what: job, quota, keys, proof  5 created of the job, ms, or "" for any
--       6 "1" to mark the job as watched until it is final
-- Returns {outcome, now, …}: job → record; quota → profile, counters, waiting,
--   running; keys → revision, {entries}, {secret id, uses, …} (see uses.lua); or
--   not_found, or a refusal of guard.lua
local now = clock()
if late(now) then return { 'late', now } end
local refusal = guard(KEYS[1], KEYS[2], KEYS[5], ARGV[1], ARGV[2], now)
if refusal then return { refusal, now } end
local answer = { 'ok', now }
if ARGV[4] == 'job' then
  local text = redis.call('GET', KEYS[3])
  if not text then return { 'not_found', now } end
  local state, created = string.match(text, '^(%a) (%d+)')
  if ARGV[5] ~= '' and ARGV[5] ~= created then return { 'not_found', now } end
  if ARGV[6] == '1' and string.find('qor', state, 1, true) then
    text = string.gsub(text, '^([^\n]*) %d\n', '%1 1\n', 1)
    redis.call('SET', KEYS[3], text, 'KEEPTTL')
  end
  answer[3] = text
elseif ARGV[4] == 'quota' then
  local a = redis.call('HMGET', KEYS[1], 'p', 'c', 'q', 'r')
  for i = 1, 4 do answer[2 + i] = a[i] or '' end
elseif ARGV[4] == 'keys' then
  answer[3] = redis.call('HGET', KEYS[1], 'kr') or '0'
  answer[4] = redis.call('HVALS', KEYS[3])
  answer[5] = redis.call('HGETALL', KEYS[4])
end
burn(KEYS[2], KEYS[5], ARGV[2], ARGV[3])
return answer
