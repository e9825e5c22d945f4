"""What tests, demo and benchmark share: a client of the shop, stacks and servers of their own."""
