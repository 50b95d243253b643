-- KEYS: the user's index, the expiry index; the caller's row, if there is a caller. ARGV: 1 now,
-- 2 the session to keep, or nothing, 3 user, 4 what keys of the user's rows begin with; the caller:
-- user, token, now without the grace.
if #KEYS == 3 then
  local is_live_caller, unreadable = is_caller(KEYS[3], ARGV[1], 5)
  if unreadable then return unreadable end
  if not is_live_caller then return {'gone'} end
end
-- All are read before any is removed: a row that is on its way to another server is an error.
local ended, freed = {'ended'}, {}
for _, id in ipairs(call('ZRANGE', KEYS[1], 0, -1)) do
  local head = read(ARGV[4] .. id)
  if head == nil then
    freed[#freed + 1] = id
  elseif id ~= ARGV[2] and (head == false or is_live(head, ARGV[1])) then
    ended[#ended + 1] = id
  end
end
for _, id in ipairs(freed) do
  -- The server has freed it.
  call('ZREM', KEYS[1], id)
  redis.pcall('ZREM', KEYS[2], id .. ARGV[3])
end
for i = 2, #ended do remove(ARGV[4] .. ended[i], KEYS[1], KEYS[2], ended[i], ARGV[3]) end
return ended
