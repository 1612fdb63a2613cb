# cython: language_level=3, boundscheck=False, wraparound=False, cdivision=True, initializedcheck=False
"""Dump. See dump.pxd. A dump is a value in Redis's format (rdb.pyx), two bytes of version and eight of CRC-64."""

from libc.limits cimport LLONG_MAX
from libc.stdint cimport uint16_t, uint32_t, uint64_t
from libc.string cimport memcpy

from storenode.answer cimport answer_bulk, answer_error, answer_nil, answer_ok, answer_syntax
from storenode.arguments cimport is_word, take_integer
from storenode.changes cimport EVENT_DEL, EVENT_RESTORE, key_born, key_changed
from storenode.crc64 cimport crc64
from storenode.keyspace cimport entry_discard, key_adopt, key_expire, key_peek, key_read, key_remove, key_write
from storenode.rdb cimport RDB_VERSION, RDB_VERSION_MOST, rdb_read, rdb_write
from storenode.text cimport Text, text_free, text_room
from storenode.types cimport Call, Place, Slice
from storenode.usage cimport usage_of

cdef enum:
    FOOTER = 10                # bytes of version and checksum

cdef struct Wish:
    bint replace
    bint absolute              # the TTL is a Unix time
    long long idle             # seconds; negative: not said; likewise
    long long frequency        # LFU's counter


cdef void command_dump(Call* call) noexcept nogil:
    cdef Text text = Text(data=NULL, length=0, room=0)
    cdef Place place
    cdef uint16_t version = RDB_VERSION
    cdef uint64_t checksum
    if not key_read(call, &call.argv[1], &place):
        answer_nil(call)
        return
    rdb_write(&text, place.entry)
    memcpy(text_room(&text, FOOTER), &version, 2)
    checksum = crc64(0, text.data, text.length + 2)
    memcpy(text.data + text.length + 2, &checksum, 8)
    answer_bulk(call, text.data, text.length + FOOTER)
    text_free(&text)


cdef bint read_wish(Call* call, Wish* wish) noexcept nogil:
    cdef int at = 4
    while at < call.argc:
        if is_word(&call.argv[at], b"replace"):
            wish.replace = True
        elif is_word(&call.argv[at], b"absttl"):
            wish.absolute = True
        elif is_word(&call.argv[at], b"idletime") and at + 1 < call.argc and wish.frequency < 0:
            at += 1
            if not take_integer(call, &call.argv[at], &wish.idle):
                return False
            if wish.idle < 0:
                answer_error(call, b"ERR Invalid IDLETIME value, must be >= 0")
                return False
        elif is_word(&call.argv[at], b"freq") and at + 1 < call.argc and wish.idle < 0:
            at += 1
            if not take_integer(call, &call.argv[at], &wish.frequency):
                return False
            if wish.frequency < 0 or wish.frequency > 255:
                answer_error(call, b"ERR Invalid FREQ value, must be >= 0 and <= 255")
                return False
        else:
            answer_syntax(call)
            return False
        at += 1
    return True


cdef bint is_whole(const Slice* dump) noexcept nogil:
    """Are version and checksum what they should be?"""
    cdef uint16_t version
    cdef uint64_t checksum
    if dump.length < FOOTER:
        return False
    memcpy(&version, dump.data + dump.length - 10, 2)
    memcpy(&checksum, dump.data + dump.length - 8, 8)
    # Redis writes 0 where checksums are switched off.
    return version <= RDB_VERSION_MOST and (checksum == 0 or checksum == crc64(0, dump.data, dump.length - 8))


cdef void command_restore(Call* call) noexcept nogil:
    """RESTORE key ttl dump [REPLACE] [ABSTTL] [IDLETIME seconds] [FREQ frequency]."""
    cdef const Slice* key = &call.argv[1]
    cdef Wish wish = Wish(replace=False, absolute=False, idle=-1, frequency=-1)
    cdef Place place, built
    cdef Slice value = call.argv[3]
    cdef long long ttl
    cdef uint64_t ago
    cdef bint there
    if not read_wish(call, &wish):
        return
    there = key_peek(call.database, key, &place)
    if there and not wish.replace:
        answer_error(call, b"BUSYKEY Target key name already exists.")
        return
    if not take_integer(call, &call.argv[2], &ttl):
        return
    if ttl < 0:
        answer_error(call, b"ERR Invalid TTL value, must be >= 0")
        return
    if not is_whole(&value):
        answer_error(call, b"ERR DUMP payload version or checksum are wrong")
        return
    value.length -= FOOTER
    if not rdb_read(call.node, &value, key, &built):
        answer_error(call, b"ERR Bad data format")
        return
    if ttl and not wish.absolute:
        ttl = ttl + call.node.now_ms if ttl <= LLONG_MAX - call.node.now_ms else LLONG_MAX
    if ttl and ttl <= call.node.now_ms:
        entry_discard(call.node, &built)
        if there and key_write(call, key, &place):
            key_remove(call.database, &place, EVENT_DEL)
        answer_ok(call)
        return
    key_adopt(call.database, &built)
    if there:
        key_born(call.database, key)
    key_expire(call.database, &built, ttl)
    if wish.idle >= 0:
        if not call.node.lfu:
            ago = (<uint64_t> wish.idle * 1000000) >> 16
            built.entry.clock = call.node.ticks - <uint32_t> ago if ago < call.node.ticks else 0
    elif wish.frequency >= 0 and call.node.lfu:
        built.entry.clock = usage_of(call.node, <uint32_t> wish.frequency)
    key_changed(call.database, key, EVENT_RESTORE)
    answer_ok(call)
