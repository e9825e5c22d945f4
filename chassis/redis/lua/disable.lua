-- Forgets a resource, its limit and its leases: resource.
local key = prefix .. ARGV[1]
redis.call('SREM', prefix .. 'enabled', ARGV[1])
redis.call('DEL', key, key .. ':leases', key .. ':ends')
