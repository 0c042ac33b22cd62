-- secret.lua: why a secret of a key may not act. Composed in front of every
-- script that checks one, guard.lua included.
--
-- An account has a field k:<secret id> for each secret of its keys: the end of the
-- secret in milliseconds, 0 for none. It is absent when the key was revoked, or
-- when later secrets pushed this one out. For API keys, g:<key id> is the
-- generation of the newest secret.

-- Why the secret may not act at now, or nil. state is its field in the account.
local function secret_refusal(acct, secret, state, now)
  if state == '0' or state and tonumber(state) > now then return end
  local newest = redis.call('HGET', acct, 'g:' .. string.match(secret, '^[^.]*'))
  if newest and newest ~= string.match(secret, '%d*$') then return 'secret_replaced' end
  return state and 'key_expired' or 'key_revoked'
end
