"""What clients ask of the newservice service: nothing yet.

A command is a frozen struct here, a function with `@reactions.command` in `reactions.py`, and a
route in `routes.py` that passes it to `service.ask`.
"""
