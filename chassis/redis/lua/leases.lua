-- What the scripts share; `prefix` is put before it (chassis/redis/leases.py). Of a resource there are
--   <resource>         a hash: limit (units that the database has), leased (units)
--   <resource>:leases  a hash: holder -> units
--   <resource>:ends    a sorted set: holder -> when its lease expires, in ms

local function now_ms()
  local time = redis.call('TIME')
  return time[1] * 1000 + math.floor(time[2] / 1000)
end

-- Ends a lease; idempotent.
local function end_lease(resource, holder)
  local key = prefix .. resource
  local units = redis.call('HGET', key .. ':leases', holder)
  if units then
    redis.call('HDEL', key .. ':leases', holder)
    redis.call('ZREM', key .. ':ends', holder)
    redis.call('HINCRBY', key, 'leased', -units)
  end
end

