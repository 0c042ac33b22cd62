-- uses.lua: adds up what secrets of one account were used for. Running it twice
-- counts twice.
--
-- KEYS  1 account  2 uses of secrets: a field for each secret that was used, "how
--       often last" (ms); it leaves with the secret
-- ARGV  1… secret id, how often, last (ms), of each secret
-- Returns {'ok'}
local now = clock()
if late(now) then return { 'late', now } end
for i = 1, #ARGV - 1, 3 do
  local secret = ARGV[i]
  if redis.call('HEXISTS', KEYS[1], 'k:' .. secret) == 1 then
    local uses, last = string.match(redis.call('HGET', KEYS[2], secret) or '0 0', '^(%d+) (%d+)$')
    redis.call('HSET', KEYS[2], secret, string.format('%d %d', uses + ARGV[i + 1], math.max(last, ARGV[i + 2])))
  end
end
return { 'ok' }
