# cython: language_level=3
"""Leaves: structs that name none of those in types.pxd, which passes them on."""

from libc.stdint cimport int64_t, uint8_t, uint16_t, uint32_t, uint64_t

from proxy.wire.chunk cimport Chunk


# -- a command that was split -----------------------------------------------------------------------------------------

cdef enum MergeKind:           # of a Merge, beside Lane
    MERGE_EXEC = 100           # elements of EXEC's array, in the order of queueing
    MERGE_LEAST = 101          # the least integer

cdef struct Merge:             # a split command: one part a node
    uint8_t lane               # Lane or MergeKind
    uint8_t nil_on_error       # partial_mget: nil
    uint32_t parts
    uint32_t waiting           # parts not answered
    uint32_t keys
    int64_t sum
    size_t bytes               # of the parts that are here; they count as held by the client
    Chunk** replies            # by part; NULL: not here, or not needed
    Chunk* error               # the first error reply
    uint16_t* part_of          # by key; of MERGE_EXEC by queued command, where PLACE_SPLIT may stand
    uint16_t* blocks           # of a command inside a transaction: by part, the block that it is in; else NULL
    Merge* splits              # MERGE_EXEC: its commands that are split themselves, in the order of queueing
    Merge* next                # in such a list


# -- who shares a subscription ------------------------------------------------------------------------------------------

cdef enum AudienceKind:        # what is subscribed to; lanes.registry.Kind
    AUDIENCE_CHANNEL = 0
    AUDIENCE_PATTERN = 1
    AUDIENCE_SHARD = 2

cdef struct Audience:          # one subscription that several clients of this process share
    Audience* next             # in its bucket
    Audience* next_pattern     # in Audiences.patterns
    Audience* before_pattern
    uint64_t hash
    uint32_t extra             # clients besides the first
    uint32_t length
    uint8_t kind
    char* name                 # behind this struct

cdef struct Audiences:
    Audience** buckets         # NULL while there is none
    uint32_t mask
    uint32_t count
    Audience* patterns


# -- reads that may be asked of replicas ----------------------------------------------------------------------------------

cdef enum ReadFrom:            # settings.READ_FROM, in this order
    READ_PRIMARY = 0
    READ_PREFER_PRIMARY = 1
    READ_PREFER_REPLICA = 2
    READ_NEAREST = 3
    READ_ANY = 4

cdef struct ReadRules:         # of a pool
    uint8_t from_              # ReadFrom
    uint8_t hot                # reads of hot keys that no copy answers go to any of them
    uint8_t quantile           # hedge: not after a time, but after what 95 of 100 replies took
    uint32_t budget            # hedge: thousandths of a request that each read earns; 0: no hedges
    uint64_t after_us          # hedge: after so long
    uint64_t lag_us            # a replica that may lack what is older is not asked; 0: any
    int64_t tokens             # hedge: thousandths of requests that may be sent now
    int64_t most_tokens
    uint64_t earned            # reads that were sent, since it was looked at last,
    uint64_t counted           # and in this second
    uint64_t retained_limit    # bytes of requests kept to be asked again, of one engine
    uint64_t retained          # and how many there are
    uint32_t turn              # whose turn it is, among those that will do
