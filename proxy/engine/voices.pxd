# cython: language_level=3
"""Voices: a request that several nodes carry out, and what each of them has said. Pools with `replication: ring`.

A Quorum is one such request; it has a Voice for every node that was asked, those that serve first. The first of them
leads: the client gets its reply, or, if it fails, that of the next. Stands below the connection, which tells of requests
that fail; quorum.pyx decides, and copying.pyx makes them.

What a Quorum owns: the reference to its client, until `over`; a copy of the keys, for hints (hints.pxd); replies that
wait to be compared. It is freed when no Pending names it and it was decided.
"""

from libc.stdint cimport uint8_t, uint16_t, uint32_t

from proxy.engine.types cimport Client, Core, Node, Pending, Pool

cdef enum:
    ROLE_QUORUM = 32           # of a Pending: `cool` is a Quorum*, `part` the number of the Voice
    ROLE_HINT = 33             # a hint that the reply waits for; `cool` is a Quorum*
    COPIES = 8                 # nodes that have a key, at most
    VOICE_TEXT = 40            # bytes of a reply that are kept without an allocation

cdef enum Level:               # how many of a key's nodes have to confirm; settings.LEVELS
    LEVEL_POOL = 0             # a client's: as the pool says
    LEVEL_ONE = 1
    LEVEL_QUORUM = 2
    LEVEL_ALL = 3

cdef enum Away:                # Node.away: why a node is not asked for reads
    AWAY_NOT = 0
    AWAY_MENDING = 1           # it takes writes, and gets what it missed meanwhile
    AWAY_GONE = 2              # it takes nothing: what is written is hinted
    AWAY_LOST = 3              # and no hints are kept any more: it will get everything

cdef enum Heard:
    HEARD_NOTHING = 0          # asked
    HEARD_REPLY = 1
    HEARD_FAILURE = 2          # it did not carry the request out, as far as is known

cdef struct Voice:
    Node* node
    char* reply                # `text`, or malloc; NULL: none
    uint32_t length
    uint8_t heard              # Heard
    uint8_t counts             # it serves: what it confirms is confirmed
    uint8_t reached            # of a failure: the node may have carried it out all the same
    uint8_t hinted             # of a failure: other nodes were told
    char text[VOICE_TEXT]

cdef struct Quorum:            # followed by its voices, then by its keys: a uint32_t length and the bytes, each
    Quorum* next               # in core.undecided
    Client* client
    uint32_t slot
    uint32_t part              # of a Merge
    uint32_t key_count
    uint32_t key_bytes         # all of them, with their lengths
    uint16_t row
    uint8_t protocol           # of the connections
    uint8_t database
    uint8_t count              # of voices
    uint8_t need               # that have to confirm
    uint8_t waiting            # voices that have said nothing
    uint8_t hinting            # hints that are on their way, and that the reply waits for
    uint8_t pendings           # that name it
    uint8_t over               # the client has its reply
    uint8_t reads              # it changes nothing
    uint8_t compares           # replies are the same where the keys are
    uint8_t takes              # what the leader took is to be taken from the others, too: see effects.pxd
    uint8_t undecided          # in core.undecided
    Voice voices[1]

cdef Quorum* quorum_new(Client* client, int count, size_t key_bytes) noexcept nogil
cdef void quorum_failed(Core* core, Pending* pending, bint reached) noexcept nogil
cdef void quorum_settle(Core* core, Pending* pending) noexcept nogil
cdef void quorum_leave(Core* core, Quorum* quorum) noexcept nogil
cdef void voice_says(Voice* voice, const char* data, size_t length) noexcept nogil


cdef inline char* quorum_keys(Quorum* quorum) noexcept nogil:
    return <char*> &quorum.voices[quorum.count]
