"""`make load`: place many orders at once, and wait for the end of each.

    python -m ops load [--orders 100] [--concurrency 100] [--scenario 66-34]

Every order is the same: three units of one product for one customer. Both are created for the run,
with as much stock and money as its orders need, so that all of them complete. With the scenario
66-34 it is the coffee and the richest customer of the first data: on a new stack 66 of 100 orders
complete and 34 fail, INSUFFICIENT_BALANCE.

An order has ended when its OrderCompleted or OrderFailed has arrived from the broker. While no such
event arrives for two seconds the order service is asked for the orders that are left, until
`--timeout-seconds` (60) after the last POST.
"""
