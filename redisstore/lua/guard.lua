-- guard.lua: what every script on behalf of a signed request checks first.
-- Composed in front of the script; constants (RETENTION, GROUP, …) precede it.

-- Redis' clock, milliseconds since 1970.
local function clock()
  local t = redis.call('TIME')
  return t[1] * 1000 + math.floor(t[2] / 1000)
end

-- The last argument of every script is when the relay stops waiting for it, in
-- Redis' time (ms). A run that comes later (a server that hung, a queue that
-- waited) must do nothing, for nobody would learn of it: it answers {'late', now}.
local function late(now) return now > tonumber(ARGV[#ARGV]) end

-- Why a key may not act now, or nil. state is the account's field k:<key id>:
-- the key's expiry in milliseconds, 0 for none; absent when revoked.
local function key_refusal(state, now)
  if not state then return 'key_revoked' end
  local expires = tonumber(state)
  if expires > 0 and expires <= now then return 'key_expired' end
end

-- Refuses a key that may not act and a nonce that another run used; returns
-- nil when the request may go on. A nonce that holds this run's own operation
-- id is our own earlier run, whose reply was lost: every script below gives
-- the same answer when it runs twice.
local function guard(acct, nonce, key_id, op, now)
  local refusal = key_refusal(redis.call('HGET', acct, 'k:' .. key_id), now)
  if refusal then return refusal end
  local seen = redis.call('GET', nonce)
  if seen and seen ~= op then return 'nonce_replayed' end
end

-- Remembers the nonce of a request that was not refused.
local function burn(nonce, op, ttl) redis.call('SET', nonce, op, 'NX', 'PX', ttl) end
