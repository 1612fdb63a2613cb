# cython: language_level=3
"""Broadcast: CLIENT TRACKING BCAST, invalidations of all keys that begin with a prefix, whoever has read them.

    Node.prefixes ── Prefix ── Follower ── Client      one Follower for a client and a prefix, in a list of each
                       └─ changed: a Dict, names of keys changed in this turn -> id of the client that did it

Keys are gathered during a turn and told at its end, each once and in order, in one message for a prefix. The prefixes
are a sorted list that every write walks as far as its key: there are few of them.
"""

from storenode.types cimport Client, Follower, Node, Prefix, Slice

cdef bint prefix_overlaps(Client* client, const Slice* name, Slice* other) noexcept nogil
cdef void prefix_add(Node* node, Client* client, const Slice* name) noexcept nogil
cdef void prefixes_leave(Node* node, Client* client) noexcept nogil
cdef void broadcast_key(Node* node, const Slice* key, Client* writer) noexcept nogil
cdef void broadcast_send(Node* node) noexcept nogil


cdef inline Slice prefix_name(Prefix* prefix) noexcept nogil:
    cdef Slice name
    name.data = <const char*> (prefix + 1)
    name.length = prefix.length
    return name
