-- What all scripts begin with: reading a row. Its places are in row.rs, where they count from 0;
-- here they count from 1.
--
-- Numbers have 64 bits, and Lua's have 53. So they stay bytes, and are compared by their halves.
-- Lua's own comparison of texts follows the server's locale, so it is never used.
local call, sub, byte, unpack_bytes = redis.call, string.sub, string.byte, struct.unpack

-- The error for a value that can't be read.
local NO_ROW = 'SESSIONROW the value is no session row'

-- Enough for all places and the longest user id.
local HEAD = 426
-- The server frees a row this many milliseconds after its session expires by the caller's clock.
local MARGIN = 3600000

local TOKEN, PREVIOUS, ISSUED, VERSION, ACTIVE, EXPIRES, SIGNED_IN, DATA_AT, USER = 3, 35, 101, 118, 126, 134, 158, 167, 171

-- The first bytes of a row; nil if there is none; false if the value is no row that can be read.
local function read(key)
  local head = redis.pcall('GETRANGE', key, 0, HEAD - 1)
  if type(head) ~= 'string' then
    if string.find(head.err, 'WRONGTYPE', 1, true) then return false end
    error(head.err)
  end
  if head == '' then return nil end
  if byte(head) ~= 1 or #head < USER or #head < USER + byte(head, USER) then return false end
  return head
end

-- The same of a row that an answer needs.
local function must_read(key)
  local head = read(key)
  if head == false then return nil, redis.error_reply(NO_ROW) end
  return head
end

local function user_of(head)
  return sub(head, USER + 1, USER + byte(head, USER))
end

-- Whether the number at this place of `a` is higher than that of `b`.
local function higher(a, at, b, bt)
  local ah, al = unpack_bytes('>I4I4', a, at)
  local bh, bl = unpack_bytes('>I4I4', b, bt)
  return ah > bh or (ah == bh and al > bl)
end

local function is_live(head, now)
  return higher(head, EXPIRES, now, 1)
end

-- Whether the row accepts the token, and whether it is the current one. `limit` is now without the
-- grace.
local function accepts(head, token, limit)
  if sub(head, TOKEN, TOKEN + 31) == token then return true, true end
  local is_previous = byte(head, PREVIOUS) == 1 and sub(head, PREVIOUS + 1, PREVIOUS + 32) == token
  return is_previous and (byte(head, 2) == 0 or higher(head, ISSUED, limit, 1)), false
end

-- Whether the caller in ARGV, from `from` on, is live: user, token, now without the grace.
local function is_caller(key, now, from)
  local head, unreadable = must_read(key)
  if unreadable then return nil, unreadable end
  if not head or user_of(head) ~= ARGV[from] or not is_live(head, now) then return false end
  return (accepts(head, ARGV[from + 1], ARGV[from + 2]))
end

-- For how many milliseconds the server keeps what lives until `expires`.
local function ttl(expires, now)
  local eh, el = unpack_bytes('>I4I4', expires)
  local nh, nl = unpack_bytes('>I4I4', now)
  return string.format('%.0f', math.max(0, math.floor(((eh - nh) * 4294967296 + (el - nl)) / 1000)) + MARGIN)
end

-- Lets the server keep the key at least as long.
local function keep(key, milliseconds)
  if call('PTTL', key) < tonumber(milliseconds) then call('PEXPIRE', key, milliseconds) end
end

-- A time as the score of an index: microseconds since 1970.
local function score(time)
  local high, low = unpack_bytes('>I4I4', time)
  return string.format('%.0f', (high - 2147483648) * 4294967296 + low)
end

-- Removes a session. What is wrong with an index doesn't keep it alive.
local function remove(row, index, expiry, id, user)
  call('DEL', row)
  redis.pcall('ZREM', index, id)
  redis.pcall('ZREM', expiry, id .. user)
end
