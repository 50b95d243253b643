-- KEYS: the new row, its user's index, the expiry index of its tag; then the same of each session
-- that it replaces. ARGV: 1 now, 2 the row, 3 the limit, 4 what keys of the user's rows begin with,
-- 5 id, 6 user, 7 expiry; then of each replaced session id, user, and version or nothing.
local now, limit, id, user = ARGV[1], tonumber(ARGV[3]), ARGV[5], ARGV[6]
if call('EXISTS', KEYS[1]) == 1 then return {'taken'} end
local ends = {}
for i = 4, #KEYS, 3 do
  local at = 8 + (i - 4)
  local head = read(KEYS[i])
  local version = ARGV[at + 2]
  if head == false and version ~= '' then
    return redis.error_reply(NO_ROW)
  end
  if head == false or (head and user_of(head) == ARGV[at + 1] and is_live(head, now)) then
    if version ~= '' and sub(head, VERSION, VERSION + 7) ~= version then
      return {'changed', ARGV[at], call('GET', KEYS[i])}
    end
    ends[#ends + 1] = {KEYS[i], KEYS[i + 1], KEYS[i + 2], ARGV[at], ARGV[at + 1]}
  end
end
-- An index of another type fails here, before anything changes.
local count = call('ZCARD', KEYS[2])
call('ZCARD', KEYS[3])

local kept = ttl(ARGV[7], now)
call('SET', KEYS[1], ARGV[2], 'PX', kept)
call('ZADD', KEYS[2], score(sub(ARGV[2], SIGNED_IN, SIGNED_IN + 7)), id)
call('ZADD', KEYS[3], score(ARGV[7]), id .. user)
keep(KEYS[2], kept)
keep(KEYS[3], kept)
for _, ended in ipairs(ends) do remove(unpack(ended)) end

local evicted = {'inserted'}
-- Only then there can be too many. The count may include sessions that have ended.
if count + 1 > limit then
  local live = {}
  for _, other in ipairs(call('ZRANGE', KEYS[2], 0, -1)) do
    local key = ARGV[4] .. other
    local head = read(key)
    if head == nil then
      -- The server has freed it.
      call('ZREM', KEYS[2], other)
      redis.pcall('ZREM', KEYS[3], other .. user)
    -- A row of a later release, or no row at all, is left alone.
    elseif head and other ~= id and is_live(head, now) then
      -- The order of `list`.
      local order = {unpack_bytes('>I4I4I4I4I4I4I4I4',
        sub(head, ACTIVE, ACTIVE + 7) .. sub(head, SIGNED_IN, SIGNED_IN + 7) .. other)}
      live[#live + 1] = {other, key, order}
    end
  end
  table.sort(live, function(a, b)
    for i = 1, 8 do
      if a[3][i] ~= b[3][i] then return a[3][i] > b[3][i] end
    end
    return false
  end)
  for i = limit, #live do
    remove(live[i][2], KEYS[2], KEYS[3], live[i][1], user)
    evicted[#evicted + 1] = live[i][1]
  end
end
return evicted
