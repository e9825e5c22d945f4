"""Demo, load and benchmarks: over HTTP as any client, and at the broker as the observer."""
