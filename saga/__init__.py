"""What a choreographed saga is: events, reactions, units of work, envelopes, and their graph.

Pure: knows no shop, no database, no broker and no web framework.
"""
