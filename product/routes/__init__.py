"""The product service over HTTP."""
