-- Takes the gate of a product away: product.
local key = prefix .. ARGV[1]
redis.call('SREM', prefix .. 'products', ARGV[1])
redis.call('DEL', key, key .. ':leases', key .. ':ends')
