-- KEYS: the user's index; the caller's row, if there is a caller. ARGV: 1 now, 2 what keys of the
-- user's rows begin with; the caller: user, token, now without the grace. Changes nothing.
if #KEYS == 2 then
  local is_live_caller, unreadable = is_caller(KEYS[2], ARGV[1], 3)
  if unreadable then return unreadable end
  if not is_live_caller then return {'gone'} end
end
local rows = {'listed'}
for _, id in ipairs(call('ZRANGE', KEYS[1], 0, -1)) do
  local head, unreadable = must_read(ARGV[2] .. id)
  if unreadable then return unreadable end
  if head and is_live(head, ARGV[1]) then
    rows[#rows + 1] = id
    rows[#rows + 1] = call('GET', ARGV[2] .. id)
  end
end
return rows
