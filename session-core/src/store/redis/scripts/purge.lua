-- KEYS: an expiry index. ARGV: 1 before, 2 how many at most, 3 what keys of rows begin with, 4 what
-- keys of users' indexes begin with. Returns how many rows were deleted, how many entries of the
-- index were looked at, and how many of those aren't due any more. The index has a session's first
-- expiry; its row has the one that counts.
local deleted, moved = 0, 0
local before = score(ARGV[1])
local due = call('ZRANGEBYSCORE', KEYS[1], '-inf', before, 'LIMIT', 0, ARGV[2])
for _, member in ipairs(due) do
  local id, user = sub(member, 1, 16), sub(member, 17)
  local key = ARGV[3] .. id
  local head = read(key)
  if not head then
    -- The server has freed it, or it is no row.
    call('ZREM', KEYS[1], member)
    moved = moved + 1
    redis.pcall('ZREM', ARGV[4] .. user, id)
  elseif is_live(head, ARGV[1]) then
    local expires = score(sub(head, EXPIRES, EXPIRES + 7))
    call('ZADD', KEYS[1], expires, member)
    -- Scores are exact until the year 2255.
    if tonumber(expires) > tonumber(before) then moved = moved + 1 end
  else
    remove(key, ARGV[4] .. user, KEYS[1], id, user)
    deleted, moved = deleted + 1, moved + 1
  end
end
return {deleted, #due, moved}
