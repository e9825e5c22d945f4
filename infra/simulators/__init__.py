"""Simulated external systems for the local stack and the tests, with the faults of real ones.

Rules that are posted to them make them answer late, twice or never.
"""
