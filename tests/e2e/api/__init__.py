"""What the outside sees over HTTP, on real servers: good answers, errors, and what is stored."""
