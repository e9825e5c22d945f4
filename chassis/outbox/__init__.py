"""Publishing what was committed, whatever fails: one subject in three files.

The outbox is the source of truth, the stream a copy of it that can be rebuilt. A row stays after it
was published and remembers the sequence under which the stream holds it.

    fault                                     mechanism
    ----------------------------------------  ----------------------------------------------------
    the process dies after the commit         relay: the sweep finds rows by their state
    another instance dies with claimed rows   relay: a claim ends by itself, the sweep takes over
    the broker is away, or refuses a message  relay: the row stays in the backlog and is sent again
    an acknowledgement is lost                relay: sent again under its id, the broker drops it
    the broker's store is lost or set back    reconciliation: probes notice, lost rows are freed
    an event is lost on its way, or its       retransmission: a saga that waits too long publishes
    consumer's answer is                      its last event again, and consumers answer again

The states of a row, and what moves it:

    unpublished, claimed by the instance that committed it   (published_at NULL, claimed_until)
        |  sent, acknowledged by the broker
        v
    acknowledged, in memory: Relay.acknowledgements          (still NULL in the database)
        |  marked, with the next batch or within a second
        v
    published at a sequence of the stream                    (published_at, stream_sequence)
        |  the saga has ended, and the retention time passed
        v
    removed

    Ways back to unpublished: the claim expires (a crash); the connection is lost between
    acknowledgement and mark, when it is uncertain which store acknowledged; a probe finds that the
    stream does not hold the row where it was published.
"""
