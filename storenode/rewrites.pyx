# cython: language_level=3, boundscheck=False, wraparound=False, cdivision=True, initializedcheck=False
"""Rewrites: one function for each kind of result, and the table of who needs which. See rewrites.pxd."""

from libc.stdint cimport int64_t, uint64_t
from libc.string cimport strlen

from proxy.wire.resp cimport write_number
from storenode.arguments cimport is_word
from storenode.collection cimport collection_find
from storenode.names cimport command_named
from storenode.deque cimport Item, deque_end, deque_of, deque_step
from storenode.effects cimport effects_argument, effects_begin, effects_emit, effects_end, effects_head, effects_raw
from storenode.entry cimport entry_slice
from storenode.keyspace cimport key_hash
from storenode.table cimport table_find
from storenode.types cimport Call, Handler, Node, Place, Row, Slice

cdef enum:
    REWRITES = 15
    ITEMS_A_PUSH = 64          # items of a stored list in one RPUSH

cdef struct Rewrite:
    const char* name
    Handler effect

cdef Rewrite[REWRITES] table
table[0] = Rewrite(b"set", follow_set)
table[1] = Rewrite(b"setex", follow_set)
table[2] = Rewrite(b"psetex", follow_set)
table[3] = Rewrite(b"incrbyfloat", follow_set)
table[4] = Rewrite(b"getex", follow_expiry)
table[5] = Rewrite(b"getdel", follow_expiry)
table[6] = Rewrite(b"expire", follow_expiry)
table[7] = Rewrite(b"pexpire", follow_expiry)
table[8] = Rewrite(b"expireat", follow_expiry)
table[9] = Rewrite(b"pexpireat", follow_expiry)
table[10] = Rewrite(b"hincrbyfloat", follow_field)
table[11] = Rewrite(b"spop", follow_spop)
table[12] = Rewrite(b"sort", follow_sort)
table[13] = Rewrite(b"restore", follow_restore)
table[14] = Rewrite(b"delex", follow_expiry)


cdef void rewrites_open(Node* node) noexcept nogil:
    """Enter the functions into the command table."""
    cdef Slice name
    cdef Row* row
    cdef int index
    for index in range(REWRITES):
        name.data = table[index].name
        name.length = strlen(name.data)
        row = command_named(node, &name)
        if row != NULL:
            row.effect = table[index].effect


cdef inline void put_word(Call* call, const char* word) noexcept nogil:
    effects_argument(call.node, word, strlen(word))


cdef inline void put_slice(Call* call, const Slice* text) noexcept nogil:
    effects_argument(call.node, text.data, text.length)


cdef void put_time(Call* call, int64_t time_ms) noexcept nogil:
    cdef char digits[24]
    cdef int length = write_number(digits, time_ms) - 2
    effects_argument(call.node, digits, length)


cdef void follow_del(Call* call, const Slice* key) noexcept nogil:
    effects_head(call.node, call.database.number, 2)
    put_word(call, b"DEL")
    put_slice(call, key)


cdef bint still_there(Call* call, const Slice* key, Place* place) noexcept nogil:
    """Find the key that a command has changed. Gone: a DEL is written, and False returned."""
    if table_find(&call.database.keys, key.data, key.length, key_hash(call.database, key), place):
        return True
    follow_del(call, key)
    return False


cdef void follow_set(Call* call) noexcept nogil:
    """SET key value [PXAT time]."""
    cdef Place place
    cdef Slice value
    if call.argc == 3 and is_word(&call.argv[0], b"set"):
        effects_emit(call.node, call.database.number, call.argv, 3)
        return
    if not still_there(call, &call.argv[1], &place):
        return
    value = entry_slice(place.entry)
    effects_head(call.node, call.database.number, 5 if place.entry.expire_ms else 3)
    put_word(call, b"SET")
    put_slice(call, &call.argv[1])
    put_slice(call, &value)
    if place.entry.expire_ms:
        put_word(call, b"PXAT")
        put_time(call, place.entry.expire_ms)


cdef void follow_expiry(Call* call) noexcept nogil:
    """PEXPIREAT key time, or PERSIST key."""
    cdef Place place
    if not still_there(call, &call.argv[1], &place):
        return
    effects_head(call.node, call.database.number, 3 if place.entry.expire_ms else 2)
    put_word(call, b"PEXPIREAT" if place.entry.expire_ms else b"PERSIST")
    put_slice(call, &call.argv[1])
    if place.entry.expire_ms:
        put_time(call, place.entry.expire_ms)


cdef void follow_field(Call* call) noexcept nogil:
    """HSET key field value."""
    cdef Place place
    cdef Slice value
    if not still_there(call, &call.argv[1], &place) or not collection_find(place.entry, &call.argv[2], &value):
        return
    effects_head(call.node, call.database.number, 4)
    put_word(call, b"HSET")
    put_slice(call, &call.argv[1])
    put_slice(call, &call.argv[2])
    put_slice(call, &value)


cdef void follow_spop(Call* call) noexcept nogil:
    """SREM key member …"""
    cdef Place place
    if still_there(call, &call.argv[1], &place):
        effects_head(call.node, call.database.number, 2 + call.node.effects.popped_count)
        put_word(call, b"SREM")
        put_slice(call, &call.argv[1])
        effects_raw(call.node, call.node.effects.popped.data, call.node.effects.popped.length)
    call.node.effects.popped.length = 0
    call.node.effects.popped_count = 0


cdef const Slice* sort_target(Call* call) noexcept nogil:
    """The argument behind the last STORE, found as sort.pyx reads its options."""
    cdef const Slice* target = NULL
    cdef int at = 2
    while at + 1 < call.argc:
        if is_word(&call.argv[at], b"store"):
            target = &call.argv[at + 1]
        if is_word(&call.argv[at], b"limit"):
            at += 2
        elif is_word(&call.argv[at], b"by") or is_word(&call.argv[at], b"get") or is_word(&call.argv[at], b"store"):
            at += 1
        at += 1
    return target


cdef void follow_sort(Call* call) noexcept nogil:
    """DEL target, RPUSH target item …: equal weights come in no particular order, so the order is written out."""
    cdef const Slice* target = sort_target(call)
    cdef uint64_t left
    cdef uint64_t pushed = 0
    cdef Place place
    cdef Item item
    cdef bint more
    if target == NULL or not still_there(call, target, &place):
        return
    effects_begin(call.node)
    follow_del(call, target)
    left = deque_of(place.entry).count
    more = deque_end(deque_of(place.entry), True, &item)
    while more:
        if pushed == 0:
            pushed = left if left < ITEMS_A_PUSH else ITEMS_A_PUSH
            left -= pushed
            effects_head(call.node, call.database.number, 2 + pushed)
            put_word(call, b"RPUSH")
            put_slice(call, target)
        put_slice(call, &item.value)
        pushed -= 1
        more = deque_step(&item, False)
    effects_end(call.node)


cdef void follow_restore(Call* call) noexcept nogil:
    """RESTORE key time dump REPLACE ABSTTL; a time of 0 is none."""
    cdef Place place
    if not still_there(call, &call.argv[1], &place):
        return
    effects_head(call.node, call.database.number, 6)
    put_word(call, b"RESTORE")
    put_slice(call, &call.argv[1])
    put_time(call, place.entry.expire_ms)
    put_slice(call, &call.argv[3])
    put_word(call, b"REPLACE")
    put_word(call, b"ABSTTL")
