-- settle.lua: settles what is due without offering anything: frees the backlog
-- of an account whose desktops are away. Jobs of the usual lifetime that were
-- never offered are not in due: they expire in the order of the stream, so it is
-- swept from its old end, and the account's field sw remembers how far.
--
-- KEYS  as jobs.lua
-- ARGV  as jobs.lua, then 3 max attempts
-- Returns {'ok'}
settle(SETTLE_MAX, tonumber(ARGV[3]))
local swept = redis.call('HGET', ACCT, 'sw') or '0'
local old = redis.call('XRANGE', STREAM, '(' .. swept, string.format('%d', math.max(0, now - USUAL_LIFETIME)), 'COUNT', SETTLE_MAX)
for _, entry in ipairs(old) do
  local key = entry[2][2]
  local head, body = fetch(key)
  if head and not final(head) and entry_id(head) == entry[1] then
    if now >= expires(head) then finish(key, head, body, 'x', 'job.expired') end
  else
    drop(entry[1], head)
  end
  redis.call('HSET', ACCT, 'sw', entry[1])
end
send_bell()
return { 'ok' }
