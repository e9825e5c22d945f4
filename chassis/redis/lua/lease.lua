-- Leases all lines of an order, or none: marker, order, lease_ms, marker_s, then product and units
-- of each line.
local marker, order, lease_ms, marker_s = ARGV[1], ARGV[2], tonumber(ARGV[3]), tonumber(ARGV[4])
if marker ~= '' and redis.call('EXISTS', prefix .. marker) == 1 then return {'KNOWN'} end

local now, gated = now_ms(), {}
for i = 5, #ARGV, 2 do
  local key, units = prefix .. ARGV[i], tonumber(ARGV[i + 1])
  local limit = redis.call('HGET', key, 'limit')
  if limit then
    for _, late in ipairs(redis.call('ZRANGEBYSCORE', key .. ':ends', '-inf', now)) do
      end_lease(ARGV[i], late)
    end
    local free = limit - (redis.call('HGET', key, 'leased') or 0)
    if free < units then return {'SOLD_OUT', ARGV[i], math.max(free, 0)} end
    gated[#gated + 1] = {key, units}
  end
end
if #gated == 0 then return {'OPEN'} end

for _, line in ipairs(gated) do
  redis.call('HSET', line[1] .. ':leases', order, line[2])
  redis.call('ZADD', line[1] .. ':ends', now + lease_ms, order)
  redis.call('HINCRBY', line[1], 'leased', line[2])
end
if marker ~= '' then redis.call('SET', prefix .. marker, order, 'EX', marker_s) end
return {'LEASED'}
