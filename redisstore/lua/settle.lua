-- settle.lua: settles what is due without offering anything: frees the backlog
-- of an account whose desktops are away.
--
-- KEYS  as jobs.lua
-- ARGV  as jobs.lua, then 3 max attempts
-- Returns {'ok'}
settle(SETTLE_MAX, tonumber(ARGV[3]), '')
send_bell()
return { 'ok' }
