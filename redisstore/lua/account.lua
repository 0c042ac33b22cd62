-- account.lua: creates or changes an account.
--
-- KEYS  1 account  2 stream  3 events
-- ARGV  1 create or change  2 actor  3… the ten fields of the profile:
--       membership state, its end in ms (0 none), plan, and the overrides in the
--       order of relay.LimitNames ("-" keeps the plan's); "=" leaves a field as it is
-- Returns {outcome, profile, created ms}: ok, already_exists or not_found
local now = clock()
if late(now) then return { 'late', now } end
local profile = redis.call('HGET', KEYS[1], 'p')
if ARGV[1] == 'create' and profile then return { 'already_exists', profile, '0' } end
if ARGV[1] == 'change' and not profile then return { 'not_found', '', '0' } end
local fields = {}
for field in string.gmatch(profile or 'active 0 free - - - - - - -', '%S+') do fields[#fields + 1] = field end
for i = 1, #fields do
  if ARGV[2 + i] ~= '=' then fields[i] = ARGV[2 + i] end
end
profile = table.concat(fields, ' ')
redis.call('HSET', KEYS[1], 'p', profile)
if ARGV[1] == 'create' then
  redis.call('HSET', KEYS[1], 'ca', now)
  redis.call('XGROUP', 'CREATE', KEYS[2], GROUP, '0', 'MKSTREAM')
end
redis.call('XADD', KEYS[3], 'MAXLEN', '~', EVENTS_MAX, '*', 'k', ARGV[1] == 'create' and 'account.created' or 'account.changed',
  'a', ARGV[2], 'profile', profile)
return { 'ok', profile, redis.call('HGET', KEYS[1], 'ca') }
