-- KEYS: the row, its user's index, the expiry index; the caller's row, if there is a caller. ARGV:
-- 1 now, 2 id, 3 user, 4 nothing, or the version that the row must have; the caller: user, token,
-- now without the grace.
if #KEYS == 4 then
  local is_live_caller, unreadable = is_caller(KEYS[4], ARGV[1], 5)
  if unreadable then return unreadable end
  if not is_live_caller then return {'gone'} end
end
local head = read(KEYS[1])
if head == nil then return {'ended', 0} end
if head then
  if user_of(head) ~= ARGV[3] or not is_live(head, ARGV[1]) then return {'ended', 0} end
  if ARGV[4] ~= '' and sub(head, VERSION, VERSION + 7) ~= ARGV[4] then return {'changed', call('GET', KEYS[1])} end
elseif ARGV[4] ~= '' then
  return redis.error_reply(NO_ROW)
elseif type(redis.pcall('ZSCORE', KEYS[2], ARGV[2])) ~= 'string' then
  -- The value can't be read, and no index says that it is this user's.
  return {'ended', 0}
end
remove(KEYS[1], KEYS[2], KEYS[3], ARGV[2], ARGV[3])
return {'ended', 1}
