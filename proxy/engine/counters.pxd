# cython: language_level=3
"""Counters: what an engine counts, as types.pxd passes on. They only grow; the control plane reads them as they stand."""

from libc.stdint cimport uint64_t

cdef enum:
    BUCKETS = 32               # log2 buckets of microseconds: bucket b counts [2^(b-1), 2^b)
    WAVES = 16                 # buckets of how many increments left as one: 1, 2, up to 4, up to 8 …

cdef struct RowStats:
    uint64_t calls
    uint64_t usec
    uint64_t failed            # error replies
    uint64_t rejected          # errors of the proxy before anything was sent
    uint64_t latency[BUCKETS]  # of the replies of nodes

cdef struct Counters:
    uint64_t turns
    uint64_t requests
    uint64_t replies
    uint64_t accepted
    uint64_t handed_over
    uint64_t rejected_clients
    uint64_t closed
    uint64_t protocol_errors
    uint64_t bytes_in          # from clients
    uint64_t bytes_out
    uint64_t split
    uint64_t local
    uint64_t error_replies
    uint64_t timeouts
    uint64_t withdrawn
    uint64_t late_replies
    uint64_t pushes_dropped
    uint64_t starved
    uint64_t output_closed     # clients closed at output_hard
    uint64_t query_closed
    uint64_t events_dropped
    uint64_t reconnects
    uint64_t transactions
    uint64_t blocked           # requests that waited at a node
    uint64_t lost_pops         # replies to blocked clients that had left
    uint64_t pushes            # messages given to clients
    uint64_t pubsub_closed     # subscribers closed at a limit of their own
    uint64_t push_bytes        # of orders to push that were carried out
    uint64_t monitor_dropped   # requests that MONITOR did not show
    uint64_t hot_promoted
    uint64_t hot_demoted
    uint64_t copy_hits         # requests answered from a copy
    uint64_t copies_stored
    uint64_t copy_refreshes
    uint64_t copies_changed    # copies found void: their key, or perhaps it, was written
    uint64_t copies_expired
    uint64_t copies_unsure     # ... nothing was heard of invalidations of late
    uint64_t copies_evicted
    uint64_t copies_stale      # requests answered from a copy that had expired, the node being down
    uint64_t reads_joined      # requests answered together with another one
    uint64_t fetches_stale     # replies that were not kept: their key was written meanwhile
    uint64_t invalidations     # keys that a node said were changed
    uint64_t copies_checked    # answers from copies that were compared with the node's
    uint64_t copies_wrong      # and were others
    uint64_t copies_wrong_us   # the age of those copies, summed up
    uint64_t shield_misses     # keys that were missed and shielded
    uint64_t shield_loads      # clients that were told to load one
    uint64_t shield_early      # of these, or nearly so, before it had expired
    uint64_t shield_nils       # clients that waited in vain
    uint64_t fenced            # replies to writes that came when the lease was over
    uint64_t fan_out_reads     # requests that went to a copy on another node
    uint64_t fan_out_hits      # and were answered by it
    uint64_t fan_out_fills     # copies set on other nodes
    uint64_t hints             # writes that another node was said to have missed
    uint64_t doubts            # replies of a copy that were others than the first one's
    uint64_t fan_out_tombstones    # and ended there, for the sake of a write
    uint64_t redirects         # requests that a node of a cluster did not run, and that were sent on to another
    uint64_t replica_reads     # replies that replicas gave
    uint64_t retries           # reads that were asked of another node, the first one having failed or being too late
    uint64_t hedges            # and of these, before that: see ReadRules
    uint64_t hedges_won        # whose reply came first
    uint64_t hedges_denied     # times that a read was late and there was nothing left to hedge with
    uint64_t reads_let_go      # times that there was no more room to keep requests
    uint64_t increments        # that were looked at together
    uint64_t early             # requests of counters that were answered before the node had them
    uint64_t early_lost        # of them, those that the node may not have
    uint64_t waves[WAVES]      # that they left as
