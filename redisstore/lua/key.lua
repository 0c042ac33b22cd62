-- key.lua: adds an API key to its account, gives one another secret, or revokes
-- one. What the admission step reads, the account's fields of the secrets, changes
-- here together with the inventory and the sealed secrets: it holds from this
-- script's end on.
--
-- KEYS  1 account  2 inventory of keys  3 events  4 nonce  5 credential of the key
--       6 uses of secrets  7 mark of a single-use signature, or none
-- ARGV  1 account id  2 device id (actor)  3 secret id that signed  4 operation id
--       5 nonce lifetime, ms  6 add, rotate or revoke  7 the API key's id
--       8 the profile the caller knows  9 its limit of keys, 0 = none
--       10 generation of the newest secret as the caller knows it, 0 for a new key
--       11 its new entry, JSON  12 its new credential, JSON
--       13 how long the credential of a revoked key is kept, ms
--       14… generation and end (ms, 0 none) of each secret that changes
-- Returns {outcome, detail…}: ok, revision, {entries}, {secret id, uses, …};
--   not_found; limit_reached, the limit; profile, the account's profile: run again
--   with its limit; generation, entry, credential, now: run again with what
--   follows from them; or a refusal of guard.lua
local now = clock()
if late(now) then return { 'late', now } end
local refusal = guard(KEYS[1], KEYS[4], KEYS[7], ARGV[3], ARGV[4], now)
if refusal then return { refusal } end
local verb, id = ARGV[6], ARGV[7]
local newest = redis.call('HGET', KEYS[1], 'g:' .. id)

local function forget(generation)
  redis.call('HDEL', KEYS[1], 'k:' .. id .. '.' .. generation)
  redis.call('HDEL', KEYS[6], id .. '.' .. generation)
end
local function revoke()
  for i = 0, MAX_SECRETS - 1 do forget(newest - i) end
  redis.call('HDEL', KEYS[1], 'g:' .. id)
  redis.call('HDEL', KEYS[2], id)
  redis.call('PEXPIRE', KEYS[5], ARGV[13])
end
local function put(generation)
  redis.call('HSET', KEYS[1], 'g:' .. id, generation)
  for i = 14, #ARGV - 1, 2 do redis.call('HSET', KEYS[1], 'k:' .. id .. '.' .. ARGV[i], ARGV[i + 1]) end
  redis.call('HSET', KEYS[2], id, ARGV[11])
  redis.call('SET', KEYS[5], ARGV[12])
  forget(generation - MAX_SECRETS)
end

if redis.call('GET', KEYS[4]) ~= ARGV[4] then -- else an earlier run of ours did it
  if verb == 'add' then
    local profile = redis.call('HGET', KEYS[1], 'p')
    if profile ~= ARGV[8] then return { 'profile', profile } end
    local limit = tonumber(ARGV[9])
    if limit > 0 and redis.call('HLEN', KEYS[2]) >= limit then return { 'limit_reached', limit } end
  elseif not newest then
    return { 'not_found' }
  elseif verb == 'rotate' and newest ~= ARGV[10] then
    return { 'generation', redis.call('HGET', KEYS[2], id), redis.call('GET', KEYS[5]) or '', now }
  end
  if verb == 'revoke' then revoke() else put(ARGV[10] + 1) end
  local kind = verb == 'add' and 'key.created' or verb == 'rotate' and 'key.rotated' or 'key.revoked'
  redis.call('XADD', KEYS[3], 'MAXLEN', '~', EVENTS_MAX, '*', 'k', kind, 'a', ARGV[2], 'key', id,
    'generation', verb == 'revoke' and newest or string.format('%d', ARGV[10] + 1))
  redis.call('PUBLISH', BELL, 'k ' .. ARGV[1] .. ' ' .. redis.call('HINCRBY', KEYS[1], 'kr', 1))
  if verb ~= 'add' then redis.call('PUBLISH', BELL, 'x ' .. id) end
  burn(KEYS[4], KEYS[7], ARGV[4], ARGV[5])
end
return { 'ok', redis.call('HGET', KEYS[1], 'kr') or '0', redis.call('HVALS', KEYS[2]), redis.call('HGETALL', KEYS[6]) }
