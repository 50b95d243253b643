-- KEYS: the row, its user's index, the expiry index; the caller's row, if there is a caller. ARGV:
-- 1 now, 2 id, 3 user; the caller: user, token, now without the grace.
if #KEYS == 4 then
  local is_live_caller, unreadable = is_caller(KEYS[4], ARGV[1], 4)
  if unreadable then return unreadable end
  if not is_live_caller then return {'gone'} end
end
local head = read(KEYS[1])
if head == nil then return {'ended', 0} end
if head then
  if user_of(head) ~= ARGV[3] or not is_live(head, ARGV[1]) then return {'ended', 0} end
elseif type(redis.pcall('ZSCORE', KEYS[2], ARGV[2])) ~= 'string' then
  -- The value can't be read, and no index says that it is this user's.
  return {'ended', 0}
end
remove(KEYS[1], KEYS[2], KEYS[3], ARGV[2], ARGV[3])
return {'ended', 1}
