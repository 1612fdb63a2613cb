# cython: language_level=3
"""Fence: what one client reads of a hot key never goes back. Beside step 4 of a request's life.

A copy, or a read that somebody else began, may be older than what an earlier request of the same client finds at the
node. So everything that goes there for a hot key takes a number, its *order*: later ones are higher, and because all
that one protocol and database ask of a node travel on one connection, what has the higher order is not the older one.
A request's slot keeps the key and the order while the reply is out (Slot.at, Slot.length), and a later read of that key
by the same client is answered by nothing of a lower order.

Some waiters are in *doubt*: who joined a read on the wire may have to be asked for again, and who waits for a loader
gets what comes then. Behind such a one its client's requests for the key wait, or join the very same read.

A read costs one look at `Client.home_keys`, a filter of one word over the keys that the client has under way.
"""

from libc.stdint cimport int32_t, uint32_t, uint64_t

from proxy.engine.types cimport Client, Core

cdef enum:
    MANY = 2                   # Slot.at of a request for several keys; that of one is odd

cdef struct Bound:             # what a read of a key has to be like
    bint there                 # False: whatever it likes
    bint doubt                 # not answered before what is under way, but together with it
    uint32_t order             # not older than this

cdef void fence_look(const Core* core, const Client* client, uint64_t hash, Bound* bound) noexcept nogil
cdef void fence_doubt(Client* client, uint32_t number) noexcept nogil
cdef void fence_move(Client* client, uint32_t number, uint64_t hash, uint32_t order) noexcept nogil


cdef inline bint fence_away(const Client* client) noexcept nogil:
    """May the client be owed the reply of a hot key's home?"""
    return client.head != client.tail and <int32_t> (client.home_end - client.head) > 0


cdef inline uint64_t fence_bit(uint64_t hash) noexcept nogil:
    return 1ULL << (hash >> 58)


cdef inline void fence_find(const Core* core, const Client* client, uint64_t hash, Bound* bound) noexcept nogil:
    """What the next read of this key by the client has to be like."""
    bound.there = False
    bound.doubt = False
    bound.order = 0
    if client.home_keys & fence_bit(hash) and fence_away(client):
        fence_look(core, client, hash, bound)


cdef inline bint fence_lets(const Bound* bound, uint32_t order) noexcept nogil:
    """May what has this order answer it at once?"""
    return not bound.there or (not bound.doubt and <int32_t> (order - bound.order) >= 0)


cdef inline void fence_home(Core* core, Client* client, uint64_t keys, uint64_t at) noexcept nogil:
    """The request at hand goes home, for these keys; `at` is for its slot."""
    if not fence_away(client):
        client.home_keys = 0
    client.home_keys |= keys
    client.home_end = client.tail + 1
    core.asked = at
    core.order += 1


cdef inline void fence_many(Core* core, Client* client, bint any_key) noexcept nogil:
    """The request at hand asks for several keys at home, and of any key at all it may be one."""
    fence_home(core, client, ~<uint64_t> 0 if any_key else 0, MANY)


cdef inline void fence_key(Core* core, Client* client, uint64_t hash) noexcept nogil:
    """The request at hand asks for this hot key at its home."""
    fence_home(core, client, fence_bit(hash), hash | 1)
