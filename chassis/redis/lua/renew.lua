-- The database's word on a product: product, available, then the orders that it has decided. Says by
-- how many units the limit was off.
local key, available = prefix .. ARGV[1], tonumber(ARGV[2])
for i = 3, #ARGV do end_lease(ARGV[1], ARGV[i]) end
if redis.call('SISMEMBER', prefix .. 'products', ARGV[1]) == 0 then return 0 end
local before = redis.call('HGET', key, 'limit') or available
redis.call('HSET', key, 'limit', available)
return available - before
