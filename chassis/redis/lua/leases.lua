-- What the scripts of the gate share. Of a hot product there are
--   <product>         a hash: limit (units that the database has), leased (units)
--   <product>:leases  a hash: order -> units
--   <product>:ends    a sorted set: order -> when its lease expires, in ms
-- The braces keep all keys on one node of a Redis cluster.
local prefix = 'shop:{hot}:'

local function now_ms()
  local time = redis.call('TIME')
  return time[1] * 1000 + math.floor(time[2] / 1000)
end

-- Ends a lease; a second time there is none, and nothing happens.
local function end_lease(product, order)
  local key = prefix .. product
  local units = redis.call('HGET', key .. ':leases', order)
  if units then
    redis.call('HDEL', key .. ':leases', order)
    redis.call('ZREM', key .. ':ends', order)
    redis.call('HINCRBY', key, 'leased', -units)
  end
end
