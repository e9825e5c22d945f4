-- Sets the limit to what the database has available and ends the leases of decided holders, in one
-- step: resource, available, then the holders. Returns by how many units the limit was off.
local key, available = prefix .. ARGV[1], tonumber(ARGV[2])
for i = 3, #ARGV do end_lease(ARGV[1], ARGV[i]) end
if redis.call('SISMEMBER', prefix .. 'enabled', ARGV[1]) == 0 then return 0 end
local before = redis.call('HGET', key, 'limit') or available
redis.call('HSET', key, 'limit', available)
return available - before
