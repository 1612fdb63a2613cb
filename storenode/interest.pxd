# cython: language_level=3
"""Interest: which clients want to know of changes of a key, in the order in which they came.

    Dict (of a Database) ── Topic (a key) ── Interest ── Interest ── …      one list a key, oldest first
                                                 │ sibling
                                                 └── another key of the same client

WATCH (watch.pyx) and blocked clients (blocked.pyx) keep a Dict each. A key without anybody's interest has no Topic, and
node.topics counts them all, so that a write with nobody listening pays for one comparison.
"""

from storenode.types cimport Client, Database, Dict, Interest, Node, Slice, Topic

cdef void interests_open(Node* node, Dict* topics) noexcept nogil
cdef Topic* topic_find(Dict* topics, const Slice* key) noexcept nogil
cdef Interest* interest_add(Dict* topics, Database* database, const Slice* key, Client* client) noexcept nogil
cdef void interest_remove(Dict* topics, Interest* interest) noexcept nogil
cdef void topic_release(Dict* topics, Topic* topic) noexcept nogil


cdef inline Slice topic_name(const Topic* topic) noexcept nogil:
    cdef Slice name
    name.data = <const char*> (topic + 1)
    name.length = topic.key_length
    return name
