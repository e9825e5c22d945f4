"""Publishes every committed event, whatever fails: one subject in four files.

The outbox is the source of truth, the stream a copy of it that can be rebuilt. A row stays after
its publication and has the sequence under which the stream holds it.

    fault                                     mechanism
    ----------------------------------------  ----------------------------------------------------
    the process dies after the commit         relay: the sweep finds rows by their state
    another instance dies with claimed rows   relay: a claim expires, the sweep takes over
    the broker is away or rejects a message   relay: the row stays in the backlog and is sent again
    an acknowledgement is lost                relay: sent again under its id, the broker drops it
    the broker's store is lost or set back    reconciliation: probes notice, lost rows are freed
    messages are deleted from the stream      deletions: they are missed, lost rows are freed
    an event, or its consumer's answer, is    retransmission: a saga that waits too long publishes
    lost on its way                           its last event again, and consumers answer again

The states of a row and their transitions:

    unpublished, claimed by the instance that committed it   (published_at NULL, claimed_until)
        |  sent, and acknowledged by the broker
        v
    acknowledged, in memory: Relay.acknowledgements          (still NULL in the database)
        |  marked, with the next batch or within a second
        v
    published at a sequence of the stream                    (published_at, stream_sequence)
        |  the saga has ended, and the retention time has passed
        v
    removed

    A row becomes unpublished again when its claim expires (a crash); when the connection is lost
    between acknowledgement and mark, because it is uncertain which store acknowledged; and when the
    stream does not hold it at its sequence any more.
"""
