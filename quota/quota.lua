-- Quota: the windows of an account, decided and charged inside the script that
-- admits (DESIGN §2.1). Composed in front of the scripts that need it.
--
-- Counters are one text, "tat day dayUsed month monthUsed refunds":
--   tat       GCRA's theoretical arrival time, microseconds since 1970
--   day       days since 1970 (UTC) that dayUsed belongs to
--   month     year*12 + month-1 (UTC) that monthUsed belongs to
--   refunds   given on that day
-- A count whose window has passed is read as 0, so nothing has to expire it.
-- Limits are {perMinute, perDay, perMonth, maxBacklog}; 0 is no limit.

-- Gregorian month of a day number (Howard Hinnant, "chrono-compatible
-- low-level date algorithms": civil_from_days), for days since 1970 and later.
local function quota_month(day)
  local z = day + 719468
  local era = math.floor(z / 146097)
  local doe = z - era * 146097
  local yoe = math.floor((doe - math.floor(doe / 1460) + math.floor(doe / 36524) - math.floor(doe / 146096)) / 365)
  local doy = doe - (365 * yoe + math.floor(yoe / 4) - math.floor(yoe / 100))
  local mp = math.floor((5 * doy + 2) / 153)
  local month0 = mp < 10 and mp + 2 or mp - 10
  local year = yoe + era * 400 + (month0 < 2 and 1 or 0)
  return year * 12 + month0
end

-- Reads counters as they stand at now (milliseconds).
local function quota_open(text, now)
  local tat, day, used, month, mused, refunds = string.match(text or '', '^(%d+) (%d+) (%d+) (%d+) (%d+) (%d+)$')
  local c = { tat = tonumber(tat) or 0, day = math.floor(now / 86400000) }
  if tonumber(day) == c.day then
    c.dused, c.month, c.mused, c.refunds = tonumber(used), tonumber(month), tonumber(mused), tonumber(refunds)
  else
    c.dused, c.month, c.mused, c.refunds = 0, quota_month(c.day), 0, 0
    if tonumber(month) == c.month then c.mused = tonumber(mused) end
  end
  return c
end

local function quota_text(c)
  return string.format('%d %d %d %d %d %d', c.tat, c.day, c.dused, c.month, c.mused, c.refunds)
end

-- Microseconds that one request of the minute window takes up. Rounded down,
-- and the window is limit steps long: a burst of exactly the limit fits.
local function quota_step(limit) return math.max(1, math.floor(60000000 / limit)) end

-- Names the windows that have no room for one more, comma separated; nil when
-- all have. The minute is GCRA with a burst of the whole minute's limit.
local function quota_full(c, limits, now)
  local full
  if limits[1] > 0 and c.tat - now * 1000 > quota_step(limits[1]) * (limits[1] - 1) then full = 'minute' end
  if limits[2] > 0 and c.dused >= limits[2] then full = (full and full .. ',' or '') .. 'day' end
  if limits[3] > 0 and c.mused >= limits[3] then full = (full and full .. ',' or '') .. 'month' end
  return full
end

-- Takes one request from every window. Windows without a limit are counted
-- too, so that a limit set later starts from the truth.
local function quota_charge(c, limits, now)
  if limits[1] > 0 then c.tat = math.max(c.tat, now * 1000) + quota_step(limits[1]) end
  c.dused, c.mused = c.dused + 1, c.mused + 1
end

-- Gives one request back to each window it was taken from (created,
-- milliseconds), if that window is still open. On one day no more are given back
-- than the day's limit, or 100 if that is less: submitting and cancelling must
-- not go on without end.
local function quota_refund(c, limits, now, created)
  if limits[2] > 0 and c.refunds >= math.max(limits[2], 100) then return end
  c.refunds = c.refunds + 1
  if limits[1] > 0 and now - created < 60000 then c.tat = math.max(0, c.tat - quota_step(limits[1])) end
  local day = math.floor(created / 86400000)
  if day == c.day and c.dused > 0 then c.dused = c.dused - 1 end
  if quota_month(day) == c.month and c.mused > 0 then c.mused = c.mused - 1 end
end
