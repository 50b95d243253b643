-- KEYS: an expiry index. ARGV: 1 before, 2 how many at most, 3 what keys of rows begin with, 4 what
-- keys of users' indexes begin with. Returns how many sessions are gone from the index, how many of
-- its entries were looked at, and how many of those aren't due any more. The index has a session's
-- first expiry; its row has the one that counts.
local before = score(ARGV[1])
local due = call('ZRANGEBYSCORE', KEYS[1], '-inf', before, 'LIMIT', 0, ARGV[2])
-- All are read before anything changes: a row that is on its way to another server is an error.
local heads = {}
for place, member in ipairs(due) do heads[place] = read(ARGV[3] .. sub(member, 1, 16)) or false end
local gone, moved = 0, 0
for place, member in ipairs(due) do
  local id, user, head = sub(member, 1, 16), sub(member, 17), heads[place]
  if not head then
    -- The server has freed it, or it is no row.
    call('ZREM', KEYS[1], member)
    redis.pcall('ZREM', ARGV[4] .. user, id)
    gone, moved = gone + 1, moved + 1
  elseif is_live(head, ARGV[1]) then
    local expires = score(sub(head, EXPIRES, EXPIRES + 7))
    -- Refused where the memory is full, which is no reason to delete nothing. Scores are exact until
    -- the year 2255.
    local added = redis.pcall('ZADD', KEYS[1], expires, member)
    if type(added) == 'number' and tonumber(expires) > tonumber(before) then moved = moved + 1 end
  else
    remove(ARGV[3] .. id, ARGV[4] .. user, KEYS[1], id, user)
    gone, moved = gone + 1, moved + 1
  end
end
return {gone, #due, moved}
