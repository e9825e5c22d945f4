"""The language that the services share: events, reactions and the choreography they form.

Nothing here knows a database, a broker or a web framework.
"""
