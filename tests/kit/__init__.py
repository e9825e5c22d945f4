"""Shared by tests, demo and benchmarks: a client of the shop, and stacks and servers for it."""
