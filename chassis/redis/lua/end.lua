-- Ends the leases of holders on every resource: marker, then the holders. The marker is deleted too.
if ARGV[1] ~= '' then redis.call('DEL', prefix .. ARGV[1]) end
for _, resource in ipairs(redis.call('SMEMBERS', prefix .. 'enabled')) do
  for i = 2, #ARGV do end_lease(resource, ARGV[i]) end
end
