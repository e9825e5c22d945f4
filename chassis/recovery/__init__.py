"""Recovery mode: a service whose database was restored from a backup catches up.

    what the restored database lacks           where it comes from
    -----------------------------------------  ---------------------------------------------------
    what the service decided and published     adoption: its own events in the stream, by a rule
                                               for each of them (`saga/adoption.py`)
    what others published meanwhile            replay: its durables begin at the start of the
                                               streams, and the inbox drops what the backup knew
    what it decided and had not published      nothing: it decides it in the replay, unless that
                                               contradicts what it has published (`verdicts.py`)
    what came by HTTP and is in no event       an operator books it, before the release

Adoption comes first, as a whole, so that no reaction decides a second time. Nothing is published,
no external call begins, and no command but an operator's booking is executed until the release.
"""
