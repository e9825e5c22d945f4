-- Ends the leases of orders, of whatever product: marker, then the orders. The marker goes with them.
if ARGV[1] ~= '' then redis.call('DEL', prefix .. ARGV[1]) end
for _, product in ipairs(redis.call('SMEMBERS', prefix .. 'products')) do
  for i = 2, #ARGV do end_lease(product, ARGV[i]) end
end
