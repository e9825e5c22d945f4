"""The hotel service: holds a room for each trip."""
