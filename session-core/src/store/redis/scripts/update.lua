-- KEYS: the row, its user's index, the expiry index. ARGV: 1 now, 2 user, 3 token, 4 now without
-- the grace, 5 nothing, or the version that the data is based on and the one that it becomes,
-- 6 data, 7 nothing, or activity, the new expiry, and the time after which activity counts already,
-- 8 nothing, or a new token's hash, 9 nothing, or the new token, sealed, 10 1 if the token was seen.
local now = ARGV[1]
local head, unreadable = must_read(KEYS[1])
if unreadable then return unreadable end
if not head or user_of(head) ~= ARGV[2] or not is_live(head, now) then return {'gone'} end
local expires = sub(head, EXPIRES, EXPIRES + 7)
local to, successor = ARGV[8], ARGV[9]
local is_strict = to ~= '' and successor == ''
if is_strict and sub(head, TOKEN, TOKEN + 31) == to then return {'done', expires} end
local is_accepted, is_current = accepts(head, ARGV[3], ARGV[4])
if not is_accepted then return {'gone'} end
local is_superseded = to ~= '' and not is_strict and not is_current

local version = sub(head, VERSION, VERSION + 7)
if ARGV[5] ~= '' then
  local based_on, becomes = sub(ARGV[5], 1, 8), sub(ARGV[5], 9, 16)
  if version ~= based_on then
    -- What a version says about a write: see model/version.rs.
    local high, low = unpack_bytes('>I4I4', version)
    local own = unpack_bytes('>I4', becomes) % 1073741824
    if high % 1073741824 ~= own and math.floor(low / 4) ~= own then
      return {'conflict', call('GET', KEYS[1])}
    elseif is_superseded then
      return {'superseded', call('GET', KEYS[1])}
    end
    return {'done', expires}
  end
  version = becomes
end
local found
if is_superseded then found = call('GET', KEYS[1]) end

local active = sub(head, ACTIVE, ACTIVE + 7)
local lives_longer = false
if ARGV[7] ~= '' and not higher(active, 1, ARGV[7], 17) then
  if higher(ARGV[7], 1, active, 1) then active = sub(ARGV[7], 1, 8) end
  if higher(ARGV[7], 9, expires, 1) then
    expires = sub(ARGV[7], 9, 16)
    lives_longer = true
  end
end
-- From whether the token was seen to its successor, then to the strict rotation.
local seen, tokens, issued = sub(head, 2, 2), sub(head, TOKEN, ISSUED - 1), sub(head, ISSUED, VERSION - 1)
if ARGV[10] == '1' and is_current then
  seen = '\1'
  tokens = sub(head, TOKEN, PREVIOUS + 32) .. string.rep('\0', 33)
end
if to ~= '' and not is_superseded then
  local high, low = unpack_bytes('>I4I4', issued)
  low = low + 1
  if low == 4294967296 then high, low = high + 1, 0 end
  local next = struct.pack('>I4I4', high, low)
  if higher(now, 1, next, 1) then next = now end
  seen = '\0'
  if is_strict then
    tokens = to .. string.rep('\0', 66)
    issued = next .. '\1' .. next
  else
    tokens = to .. '\1' .. sub(head, TOKEN, TOKEN + 31) .. '\1' .. successor
    issued = next .. sub(issued, 9)
  end
end

local new = sub(head, 1, 1) .. seen .. tokens .. issued .. version .. active .. expires
local old_length = EXPIRES + 7
if ARGV[5] ~= '' then
  local data_at = unpack_bytes('>I4', head, DATA_AT)
  if data_at < USER + #user_of(head) then return redis.error_reply(NO_ROW) end
  local fixed = sub(head, old_length + 1, data_at)
  if #head < data_at then fixed = fixed .. call('GETRANGE', KEYS[1], #head, data_at - 1) end
  call('SET', KEYS[1], new .. fixed .. ARGV[6], 'KEEPTTL')
elseif new ~= sub(head, 1, old_length) then
  call('SETRANGE', KEYS[1], 0, new)
end
if lives_longer then
  local kept = ttl(expires, now)
  call('PEXPIRE', KEYS[1], kept)
  keep(KEYS[2], kept)
  keep(KEYS[3], kept)
end
if found then return {'superseded', found} end
return {'done', expires}
