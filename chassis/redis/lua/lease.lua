-- Leases all units that a holder wants, or none: marker, holder, lease_ms, marker_s, then resource
-- and units of each.
local marker, holder, lease_ms, marker_s = ARGV[1], ARGV[2], tonumber(ARGV[3]), tonumber(ARGV[4])
if marker ~= '' and redis.call('EXISTS', prefix .. marker) == 1 then return {'KNOWN'} end

local now, counted = now_ms(), {}
for i = 5, #ARGV, 2 do
  local key, units = prefix .. ARGV[i], tonumber(ARGV[i + 1])
  local limit = redis.call('HGET', key, 'limit')
  if limit then
    for _, expired in ipairs(redis.call('ZRANGEBYSCORE', key .. ':ends', '-inf', now)) do
      end_lease(ARGV[i], expired)
    end
    local free = limit - (redis.call('HGET', key, 'leased') or 0)
    if free < units then return {'SOLD_OUT', ARGV[i], math.max(free, 0)} end
    counted[#counted + 1] = {key, units}
  end
end
if #counted == 0 then return {'OPEN'} end

for _, wanted in ipairs(counted) do
  redis.call('HSET', wanted[1] .. ':leases', holder, wanted[2])
  redis.call('ZADD', wanted[1] .. ':ends', now + lease_ms, holder)
  redis.call('HINCRBY', wanted[1], 'leased', wanted[2])
end
if marker ~= '' then redis.call('SET', prefix .. marker, holder, 'EX', marker_s) end
return {'LEASED'}
