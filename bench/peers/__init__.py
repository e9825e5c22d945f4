"""The same order saga on other systems, written from their own documentation."""
