-- KEYS: the user's index, the expiry index; the caller's row, if there is a caller. ARGV: 1 now,
-- 2 the session to keep, or nothing, 3 user, 4 what keys of the user's rows begin with; the caller:
-- user, token, now without the grace.
if #KEYS == 3 then
  local is_live_caller, unreadable = is_caller(KEYS[3], ARGV[1], 5)
  if unreadable then return unreadable end
  if not is_live_caller then return {'gone'} end
end
local ended = {'ended'}
for _, id in ipairs(call('ZRANGE', KEYS[1], 0, -1)) do
  local key = ARGV[4] .. id
  local head = read(key)
  if head == nil then
    -- The server has freed it.
    call('ZREM', KEYS[1], id)
    redis.pcall('ZREM', KEYS[2], id .. ARGV[3])
  elseif id ~= ARGV[2] and (head == false or is_live(head, ARGV[1])) then
    remove(key, KEYS[1], KEYS[2], id, ARGV[3])
    ended[#ended + 1] = id
  end
end
return ended
