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

-- Refuses a secret that may not act, a nonce that another run used, and so a
-- signature where each counts once (once is its mark, nil elsewhere); returns nil
-- when the request may go on. A mark that holds this run's own operation id is of
-- our own earlier run, whose reply was lost: every script below gives the same
-- answer when it runs twice.
local function guard(acct, nonce, once, secret, op, now)
  local refusal = secret_refusal(acct, secret, redis.call('HGET', acct, 'k:' .. secret), now)
  if refusal then return refusal end
  local seen = redis.call('GET', nonce)
  if seen and seen ~= op then return 'nonce_replayed' end
  local used = once and redis.call('GET', once)
  if used and used ~= op then return 'signature_replayed' end
end

-- Remembers nonce and signature of a request that was not refused.
local function burn(nonce, once, op, ttl)
  redis.call('SET', nonce, op, 'NX', 'PX', ttl)
  if once then redis.call('SET', once, op, 'NX', 'PX', ttl) end
end
