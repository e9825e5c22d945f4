"""Stand-ins for outside systems, for the local stack and the tests. They keep the nasty habits of
the real ones: late, twice, never."""
