-- KEYS: expiry indexes. ARGV: a time. Returns the places of those that hold sessions which may have
-- expired by then. Changes nothing.
local places, before = {}, score(ARGV[1])
for place, key in ipairs(KEYS) do
  if call('ZCOUNT', key, '-inf', before) > 0 then places[#places + 1] = place end
end
return places
