"""The newservice service's own error codes, as clients get them: none yet."""
