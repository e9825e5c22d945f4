"""The payment service's own error codes, as clients get them."""

from chassis.web.error_codes import ErrorCode

PAYMENT_NOT_FOUND = ErrorCode(
    "PAYMENT_NOT_FOUND", 404, "There is no payment of this id.", "Check the id."
)
TOP_UP_NOT_FOUND = ErrorCode(
    "TOP_UP_NOT_FOUND", 404, "There is no top-up of this id.", "Check the id."
)
WALLET_NOT_FOUND = ErrorCode(
    "WALLET_NOT_FOUND", 404, "The customer has no wallet.", "Open one: `POST /api/v1/wallets`."
)
BALANCE_OUT_OF_RANGE = ErrorCode(
    "BALANCE_OUT_OF_RANGE",
    409,
    "The wallet's balance would become negative, or more than a wallet holds.",
    "Send another amount.",
)
PAYMENT_GATEWAY_FAILED = ErrorCode(
    "PAYMENT_GATEWAY_FAILED",
    502,
    "The payment gateway declined, did not answer in time, or captured too late.",
    "Read `details.outcome` and the gateway's reason, `details.failDetail`; the balance is "
    "unchanged. Try once more with a new key.",
)
