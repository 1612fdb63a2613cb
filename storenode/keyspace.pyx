# cython: language_level=3, boundscheck=False, wraparound=False, cdivision=True, initializedcheck=False
"""Keyspace: looking keys up (expiring them on the way), setting, resizing, renaming, removing. See keyspace.pxd."""

from libc.stdint cimport int64_t, uint32_t
from libc.string cimport memcpy, memmove

from proxy.wire.resp cimport read_number
from storenode.answer cimport answer_error
from storenode.changes cimport EVENT_EXPIRED, QUIET, database_changed, key_born, key_changed, key_missed
from storenode.entry cimport entry_expired, entry_key, entry_name, entry_value
from storenode.heap cimport heap_free, heap_new, heap_resize
from storenode.reaper cimport keyspace_release, value_release
from storenode.table cimport table_find, table_insert, table_mark, table_remove
from storenode.types cimport EMBSTR, INTEGER, RAW, STRING, WRITE, Call, Database, Entry, Node, Place, Slice
from storenode.usage cimport usage_new, usage_touch

cdef extern from "<malloc.h>" nogil:
    size_t malloc_usable_size(void* block)
    int malloc_trim(size_t pad)

cdef enum:
    AHEAD_MOST = 1 << 20       # bytes reserved beyond a growing string; below that its own length again
    WASTE_FROM = 128           # blocks from this size on are not kept for a value that fills less than half


cdef inline void settle(Place* place, Entry* entry) noexcept nogil:
    """The entry of a place may have moved: tell the table."""
    place.entry = entry
    if place.bucket != NULL:
        place.bucket.slots[place.slot] = entry


cdef bint expire_found(Database* database, Place* place) noexcept nogil:
    """A command came upon a key past its expiry: is it gone for this command?

    It is removed, but on a replica, which leaves that to its primary: there it is only missing (and for the primary's
    own commands it is not even that: link.pyx stops the clock for them). A write to a replica that allows it finds the
    place free.
    """
    cdef Node* node = database.node
    if node.primary == NULL or (node.call.row != NULL and node.call.row.flags & WRITE):
        key_remove(database, place, EVENT_EXPIRED)
        node.stats.expired += 1
    return True


cdef bint key_write(Call* call, const Slice* key, Place* place) noexcept nogil:
    """Find a key that is about to be changed. A key past its expiry is removed and not found."""
    cdef Database* database = call.database
    if not table_find(&database.keys, key.data, key.length, key_hash(database, key), place):
        return False
    if entry_expired(place.entry, call.node.now_ms) and expire_found(database, place):
        return False
    # While there is a child, each page that is written to has to be copied.
    if not call.client.no_touch and call.node.child.pid == 0:
        usage_touch(call.node, place.entry)
    return True


cdef bint key_read(Call* call, const Slice* key, Place* place) noexcept nogil:
    """key_write() that counts a hit or a miss."""
    if key_write(call, key, place):
        call.node.stats.hits += 1
        return True
    key_missed(call.database, key)
    return False


cdef bint key_peek(Database* database, const Slice* key, Place* place) noexcept nogil:
    """Find a key without using it: no LRU clock, no statistics."""
    if not table_find(&database.keys, key.data, key.length, key_hash(database, key), place):
        return False
    return not (entry_expired(place.entry, database.node.now_ms) and expire_found(database, place))


cdef bint type_is(Call* call, const Entry* entry, int type) noexcept nogil:
    """Answers WRONGTYPE and returns False for another type."""
    if entry.type == type:
        return True
    answer_error(call, b"WRONGTYPE Operation against a key holding the wrong kind of value")
    return False


cdef int key_read_as(Call* call, const Slice* key, int type, Place* place) noexcept nogil:
    """key_read() for a command of one type; MISTYPED is answered."""
    if not key_read(call, key, place):
        return ABSENT
    return PRESENT if type_is(call, place.entry, type) else MISTYPED


cdef int key_write_as(Call* call, const Slice* key, int type, Place* place) noexcept nogil:
    """key_write() for a command of one type; MISTYPED is answered."""
    if not key_write(call, key, place):
        return ABSENT
    return PRESENT if type_is(call, place.entry, type) else MISTYPED


cdef void remove(Database* database, Place* place, int event, bint lazily) noexcept nogil:
    cdef Entry* entry = table_remove(&database.keys, place)
    cdef Slice name = entry_name(entry)
    if event != QUIET:
        key_changed(database, &name, event)
    value_release(database.node, entry, lazily)
    heap_free(database.node, entry)


cdef void key_remove(Database* database, Place* place, int event) noexcept nogil:
    """Remove a key and tell why (changes.Event)."""
    remove(database, place, event, False)


cdef void key_remove_lazily(Database* database, Place* place, int event) noexcept nogil:
    """key_remove() that leaves the freeing of a large value to the reaper."""
    remove(database, place, event, True)


cdef void key_expire(Database* database, Place* place, int64_t expire_ms) noexcept nogil:
    """Set a key's expiry (0: never) and the mark that lets the sweep find it."""
    if (place.entry.expire_ms != 0) != (expire_ms != 0):
        table_mark(&database.keys, place, expire_ms != 0)
    place.entry.expire_ms = expire_ms


cdef int value_encoding(const Slice* value) noexcept nogil:
    """How Redis would encode a string that was just set."""
    cdef long long number
    if value.length <= 20 and read_number(value.data, value.length, &number):
        return INTEGER
    return EMBSTR if value.length <= EMBSTR_MOST else RAW


cdef Entry* new_entry(Node* node, const Slice* key, size_t value_length) noexcept nogil:
    cdef Entry* entry = <Entry*> heap_new(node, sizeof(Entry) + key.length + value_length)
    entry.expire_ms = 0
    entry.key_length = <uint32_t> key.length
    entry.value_length = <uint32_t> value_length
    entry.clock = usage_new(node)
    entry.count = 0
    memcpy(entry_key(entry), key.data, key.length)
    return entry


cdef void entry_build(Node* node, const Slice* key, Place* place, int type, int encoding) noexcept nogil:
    """A new entry with an empty value that is in no table: a result on its way to key_adopt()."""
    place.entry = new_entry(node, key, 0)
    place.entry.type = type
    place.entry.encoding = encoding
    place.bucket = NULL


cdef void entry_discard(Node* node, Place* built) noexcept nogil:
    """Free an entry that was built for nothing."""
    value_release(node, built.entry, False)
    heap_free(node, built.entry)
    built.entry = NULL


cdef void key_create(Database* database, const Slice* key, Place* place, int type, int encoding) noexcept nogil:
    """Add a key that a lookup has just missed (`place` is what it left), with an empty value to be filled at once."""
    cdef Entry* entry = new_entry(database.node, key, 0)
    entry.type = type
    entry.encoding = encoding
    table_insert(&database.keys, entry, place)
    key_born(database, key)


cdef void key_adopt(Database* database, Place* built) noexcept nogil:
    """Put a built entry into the table, in place of the key of that name if there is one, without a word."""
    cdef Slice name = entry_name(built.entry)
    cdef Entry* entry = built.entry
    if table_find(&database.keys, name.data, name.length, key_hash(database, &name), built):
        remove(database, built, QUIET, False)
        table_insert(&database.keys, entry, built)
    else:
        table_insert(&database.keys, entry, built)
        key_born(database, &name)


cdef void value_set(Database* database, const Slice* key, Place* place, const Slice* value,
                    int encoding) noexcept nogil:
    """Give the key a string value. `place` comes from a lookup of this key just made; an expiry is left as it is.

    The block is reused where the value fits and would not leave most of a large one empty. `value` must not lie in
    the entry itself.
    """
    cdef Entry* entry = place.entry
    cdef Node* node = database.node
    cdef size_t size = sizeof(Entry) + key.length + value.length
    cdef size_t usable
    if entry != NULL:
        value_release(node, entry, False)
        usable = malloc_usable_size(entry)
        if size > usable or (usable >= WASTE_FROM and size < usable // 2):
            # The old value is not needed: a fresh block avoids the copy that realloc() would make of it.
            entry = <Entry*> heap_new(node, size)
            memcpy(entry, place.entry, sizeof(Entry) + key.length)
            heap_free(node, place.entry)
            settle(place, entry)
    else:
        entry = new_entry(node, key, value.length)
        table_insert(&database.keys, entry, place)
        key_born(database, key)
    entry.type = STRING
    entry.encoding = encoding
    entry.count = 0
    entry.value_length = <uint32_t> value.length
    memcpy(entry_key(entry) + key.length, value.data, value.length)


cdef char* value_resize(Database* database, Place* place, size_t length, bint ahead) noexcept nogil:
    """Make an existing string `length` bytes long, keeping what it has; returns where the value now is.

    `ahead` reserves for more to come, so that a string built by many APPENDs is copied a constant number of times.
    """
    cdef Entry* entry = place.entry
    cdef size_t size = sizeof(Entry) + entry.key_length + length
    if size > malloc_usable_size(entry):
        if ahead:
            size += length if length < AHEAD_MOST else AHEAD_MOST
        entry = <Entry*> heap_resize(database.node, entry, size)
        settle(place, entry)
    entry.value_length = <uint32_t> length
    return entry_value(entry)


cdef char* value_splice(Node* node, Place* place, size_t at, size_t removed, size_t added) noexcept nogil:
    """Replace `removed` bytes of a value at `at` by `added` bytes, which the caller fills in where this points.

    The block grows to what is needed and no further: small collections are many, and each is short.
    """
    cdef Entry* entry = place.entry
    cdef size_t length = entry.value_length
    cdef size_t size = sizeof(Entry) + entry.key_length + length - removed + added
    cdef size_t usable = malloc_usable_size(entry)
    cdef char* value
    if size > usable:
        entry = <Entry*> heap_resize(node, entry, size)
        settle(place, entry)
    value = entry_value(entry)
    if removed != added and at + removed < length:
        memmove(value + at + added, value + at + removed, length - at - removed)
    entry.value_length = <uint32_t> (length - removed + added)
    if removed > added and usable >= WASTE_FROM and size < usable // 2:
        entry = <Entry*> heap_resize(node, entry, size)
        settle(place, entry)
        value = entry_value(entry)
    return value + at


cdef void value_point(Node* node, Place* place, int encoding, void* structure) noexcept nogil:
    """Replace a value's bytes by a pointer to a structure; encoding: TABLE or above."""
    memcpy(value_splice(node, place, 0, place.entry.value_length, sizeof(void*)), &structure, sizeof(void*))
    place.entry.encoding = encoding
    place.entry.count = 0


cdef void key_rename(Database* database, Place* place, Database* target, const Slice* key) noexcept nogil:
    """Move an entry to the name `key`, which must not exist in `target`; value, expiry and clock stay. Tells nobody."""
    cdef Entry* old = table_remove(&database.keys, place)
    cdef Entry* entry = <Entry*> heap_new(target.node, sizeof(Entry) + key.length + old.value_length)
    cdef Place there
    memcpy(entry, old, sizeof(Entry))
    entry.key_length = <uint32_t> key.length
    memcpy(entry_key(entry), key.data, key.length)
    memcpy(entry_value(entry), entry_value(old), old.value_length)
    # The structure that a value points to goes on living in the new entry.
    heap_free(database.node, old)
    table_find(&target.keys, key.data, key.length, key_hash(target, key), &there)
    table_insert(&target.keys, entry, &there)
    key_born(target, key)


cdef void database_clear(Database* database, bint lazily) noexcept nogil:
    """Remove every key: what FLUSHDB does. At once, the memory then goes back to the kernel, or bit by bit."""
    if database.keys.count:
        database_changed(database)
    keyspace_release(database.node, &database.keys, lazily)
    if not lazily:
        malloc_trim(0)
