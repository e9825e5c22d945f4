"""What Redis is used for: leases on a counted resource, and a cache of reads."""
