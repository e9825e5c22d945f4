"""The services that take part in the choreography. `make service` names a new one here."""

PARTICIPANTS = {
    "order": 8181,
    "product": 8182,
    "coupon": 8184,
    "payment": 8183,
    "dataplatform": 8185,
    "user": 8186,
}
"""Each participant's package, and the port of its HTTP server where the environment names none."""
