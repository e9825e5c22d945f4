"""`make demo`: a few orders on a running stack, each with its events as they happen.

Here and not in infra/, because it uses the client of tests/kit, and infra/ imports no tests.
"""
