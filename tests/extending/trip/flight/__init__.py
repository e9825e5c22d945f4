"""The flight service: takes requests for trips, and holds a seat for each."""
