"""Load and benchmarks, from outside: over HTTP like any client, and listening like any observer."""
