"""Publishing what was committed: relay, reconciliation and retransmission."""
