-- key.lua: adds an API key to the inventory of its account, or revokes one. A
-- revoked key's field is gone from the account, which is what the admission step
-- reads: it holds from this script's end on.
--
-- KEYS  1 account  2 inventory of keys  3 events  4 nonce
-- ARGV  1 account id  2 device id (actor)  3 key id that signed  4 operation id
--       5 nonce lifetime, ms  6 add or revoke  7 the API key's id
--       8 its expiry in ms, 0 none  9 its entry, JSON  10 the profile the caller
--       knows  11 its limit of keys, 0 = none
-- Returns {outcome, detail}: ok, detail = {revision, entries}; not_found;
--   limit_reached, detail = the limit; profile, detail = the account's profile:
--   run again with its limit; or a refusal of guard.lua
local now = clock()
if late(now) then return { 'late', now } end
local refusal = guard(KEYS[1], KEYS[4], ARGV[3], ARGV[4], now)
if refusal then return { refusal, '' } end
local again = redis.call('GET', KEYS[4]) == ARGV[4]
local id, kind = ARGV[7], 'key.created'
if not again and ARGV[6] == 'add' then
  local profile = redis.call('HGET', KEYS[1], 'p')
  if profile ~= ARGV[10] then return { 'profile', profile } end
  local limit = tonumber(ARGV[11])
  if limit > 0 and redis.call('HLEN', KEYS[2]) >= limit then return { 'limit_reached', limit } end
  redis.call('HSET', KEYS[1], 'k:' .. id, ARGV[8])
  redis.call('HSET', KEYS[2], id, ARGV[9])
elseif not again then
  if redis.call('HDEL', KEYS[2], id) == 0 then return { 'not_found', '' } end
  redis.call('HDEL', KEYS[1], 'k:' .. id)
  kind = 'key.revoked'
end
if not again then
  local revision = redis.call('HINCRBY', KEYS[1], 'kr', 1)
  redis.call('XADD', KEYS[3], 'MAXLEN', '~', EVENTS_MAX, '*', 'k', kind, 'a', ARGV[2], 'key', id)
  redis.call('PUBLISH', BELL, 'k ' .. ARGV[1] .. ' ' .. revision)
  burn(KEYS[4], ARGV[4], ARGV[5])
end
return { 'ok', { redis.call('HGET', KEYS[1], 'kr') or '0', redis.call('HVALS', KEYS[2]) } }
