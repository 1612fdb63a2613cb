# cython: language_level=3, boundscheck=False, wraparound=False, cdivision=True, initializedcheck=False
"""Changes: the hook and the names of the events. See changes.pxd."""

from storenode.blocked cimport wait_signal, wait_signal_all
from storenode.broadcast cimport broadcast_key
from storenode.effects cimport effects_removed
from storenode.invalidation cimport invalidate_all, invalidate_key
from storenode.notify cimport notify
from storenode.types cimport Database, Node, Slice
from storenode.watch cimport watch_swapped, watch_touch, watch_touch_all

cdef EventRow[EVENTS] table
table[0] = EventRow(b"del", c'g')
table[1] = EventRow(b"expire", c'g')
table[2] = EventRow(b"persist", c'g')
table[3] = EventRow(b"rename_from", c'g')
table[4] = EventRow(b"rename_to", c'g')
table[5] = EventRow(b"copy_to", c'g')
table[6] = EventRow(b"move_from", c'g')
table[7] = EventRow(b"move_to", c'g')
table[8] = EventRow(b"restore", c'g')
table[9] = EventRow(b"expired", c'x')
table[10] = EventRow(b"evicted", c'e')
table[11] = EventRow(b"set", c'$')
table[12] = EventRow(b"setrange", c'$')
table[13] = EventRow(b"append", c'$')
table[14] = EventRow(b"incrby", c'$')
table[15] = EventRow(b"incrbyfloat", c'$')
table[16] = EventRow(b"setbit", c'$')
table[17] = EventRow(b"pfadd", c'$')
table[18] = EventRow(b"lpush", c'l')
table[19] = EventRow(b"rpush", c'l')
table[20] = EventRow(b"lpop", c'l')
table[21] = EventRow(b"rpop", c'l')
table[22] = EventRow(b"linsert", c'l')
table[23] = EventRow(b"lset", c'l')
table[24] = EventRow(b"lrem", c'l')
table[25] = EventRow(b"ltrim", c'l')
table[26] = EventRow(b"sortstore", c'l')
table[27] = EventRow(b"sadd", c's')
table[28] = EventRow(b"srem", c's')
table[29] = EventRow(b"spop", c's')
table[30] = EventRow(b"sinterstore", c's')
table[31] = EventRow(b"sunionstore", c's')
table[32] = EventRow(b"sdiffstore", c's')
table[33] = EventRow(b"hset", c'h')
table[34] = EventRow(b"hdel", c'h')
table[35] = EventRow(b"hincrby", c'h')
table[36] = EventRow(b"hincrbyfloat", c'h')
table[37] = EventRow(b"zadd", c'z')
table[38] = EventRow(b"zincr", c'z')
table[39] = EventRow(b"zrem", c'z')
table[40] = EventRow(b"zpopmin", c'z')
table[41] = EventRow(b"zpopmax", c'z')
table[42] = EventRow(b"zremrangebyscore", c'z')
table[43] = EventRow(b"zremrangebyrank", c'z')
table[44] = EventRow(b"zremrangebylex", c'z')
table[45] = EventRow(b"zunionstore", c'z')
table[46] = EventRow(b"zinterstore", c'z')
table[47] = EventRow(b"zdiffstore", c'z')
table[48] = EventRow(b"zrangestore", c'z')
table[49] = EventRow(b"georadiusstore", c'z')
table[50] = EventRow(b"geosearchstore", c'z')


cdef const EventRow* event_row(int event) noexcept nogil:
    return &table[event]


cdef void key_changed(Database* database, const Slice* key, int event) noexcept nogil:
    """`key` of `database` was written, removed or given another expiry, and `event` (Event) says by what."""
    cdef Node* node = database.node
    cdef bint own = event != EVENT_EXPIRED and event != EVENT_EVICTED
    node.changes += 1
    if node.topics:
        watch_touch(database, key)
        wait_signal(database, key)
    if node.trackers:
        invalidate_key(node, key, own)
        if node.prefixes != NULL:
            broadcast_key(node, key, node.served if own else NULL)
    if node.notify:
        notify(database, key, table[event].name, table[event].group)
    if not own and node.effects.consumers:
        effects_removed(database, key)


cdef void database_changed(Database* database) noexcept nogil:
    """Every key of `database` is about to go."""
    database.node.changes += 1
    if database.node.topics:
        watch_touch_all(database)


cdef void databases_swapped(Database* one, Database* other) noexcept nogil:
    """The keys of two databases have changed places."""
    one.node.changes += 2
    if one.node.topics:
        watch_swapped(one, other)
        wait_signal_all(one)
        wait_signal_all(other)
    everything_changed(one.node)


cdef void everything_changed(Node* node) noexcept nogil:
    """A command flushed or swapped databases, which may have been empty: those that track are told once."""
    if node.trackers:
        invalidate_all(node)


cdef void key_missed(Database* database, const Slice* key) noexcept nogil:
    """A key was asked for that is not there."""
    database.node.stats.misses += 1
    if database.node.notify:
        notify(database, key, b"keymiss", c'm')


cdef void key_born(Database* database, const Slice* key) noexcept nogil:
    """A key is there that was not; what made it says so by key_changed()."""
    if database.node.notify:
        notify(database, key, b"new", c'n')
