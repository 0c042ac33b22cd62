-- link.lua: links a device with a code. The code's marker in the account is
-- what makes it work once.
--
-- KEYS  1 account  2 marker of the code  3 inventory of devices  4 events
--       5 credential of the device's key
-- ARGV  1 device id  2 key id  3 secret id  4 entry, JSON  5 credential, JSON
--       6 the profile the caller knows  7 its limit of devices, 0 = none
-- Returns {outcome, detail}: ok; link_code_invalid; limit_reached, detail = the
--   limit (the code stays good); profile, detail = the account's profile: run
--   again with its limit
local now = clock()
if late(now) then return { 'late', now } end
if redis.call('HEXISTS', KEYS[3], ARGV[1]) == 1 then return { 'ok', '' } end
if redis.call('EXISTS', KEYS[2]) == 0 then return { 'link_code_invalid', '' } end
local profile = redis.call('HGET', KEYS[1], 'p')
if not profile then return { 'link_code_invalid', '' } end
if profile ~= ARGV[6] then return { 'profile', profile } end
local limit = tonumber(ARGV[7])
if limit > 0 and redis.call('HLEN', KEYS[3]) >= limit then return { 'limit_reached', limit } end
redis.call('DEL', KEYS[2])
redis.call('HSET', KEYS[1], 'k:' .. ARGV[3], 0)
redis.call('SET', KEYS[5], ARGV[5])
redis.call('HSET', KEYS[3], ARGV[1], ARGV[4])
redis.call('XADD', KEYS[4], 'MAXLEN', '~', EVENTS_MAX, '*', 'k', 'device.linked', 'a', ARGV[1], 'key', ARGV[2])
return { 'ok', '' }
