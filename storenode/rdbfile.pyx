# cython: language_level=3, boundscheck=False, wraparound=False, cdivision=True, initializedcheck=False
"""Rdb file: the reader. See rdbfile.pxd."""

from libc.stdint cimport INT64_MAX, int32_t, int64_t, uint8_t, uint32_t, uint64_t
from libc.string cimport memcmp, memcpy, memset

from proxy.wire.resp cimport read_number
from storenode.arguments cimport is_word
from storenode.crc64 cimport crc64
from storenode.keyspace cimport entry_discard, key_expire, key_hash
from storenode.rdb cimport (
    RDB_VERSION_MOST, VALUE_BROKEN, VALUE_CUT, Loose, Reader, drop, rdb_begin, rdb_go_on, take_length, take_string,
    there,
)
from storenode.entry cimport entry_name
from storenode.table cimport table_find, table_insert
from storenode.types cimport DATABASES, Database, Entry, Place, Slice
from storenode.usage cimport usage_of

cdef enum:
    HEADER = 9                 # bytes: REDIS and four digits
    CHECKSUM = 8               # bytes behind the end
    CHECKED_FROM = 5           # the first version that has a checksum

cdef enum Opcode:              # what is not the type of a value
    FUNCTION = 245             # the source of a library of functions
    FREQUENCY = 249
    IDLE = 248
    AUX = 250
    SIZES = 251
    EXPIRE_MS = 252
    EXPIRE = 253
    SELECT = 254
    END = 255

cdef enum Taken:
    TAKEN = 0
    CUT = 1
    BROKEN = 2
    ENDED = 3


cdef void load_begin(RdbLoad* load, Node* node, bint keep_expired) noexcept nogil:
    """Get ready. Keys are added to the databases of the node, which should be empty: a key that is there is an error."""
    memset(load, 0, sizeof(RdbLoad))
    load.node = node
    load.database = &node.databases[0]
    load.keep_expired = keep_expired
    load.stream_database = -1


cdef void load_end(RdbLoad* load) noexcept nogil:
    """Give back what was being built; safe to call twice, and after any status."""
    if load.building:
        entry_discard(load.node, &load.value.built)
        load.building = False


cdef int failed(RdbLoad* load, const Reader* reader, const char* problem) noexcept nogil:
    """Something could not be taken: for want of bytes, or because it never can be."""
    if reader.lack:
        return CUT
    load.problem = problem
    return BROKEN


cdef int take_header(RdbLoad* load, Reader* reader) noexcept nogil:
    if not there(reader, HEADER):
        return CUT
    if memcmp(reader.at, b"REDIS00", 7) == 0 and c'0' <= reader.at[7] <= c'9' and c'0' <= reader.at[8] <= c'9':
        load.version = (reader.at[7] - c'0') * 10 + reader.at[8] - c'0'
    if load.version < 1 or load.version > RDB_VERSION_MOST:
        return failed(load, reader, b"it does not begin like a snapshot of a version that is known")
    load.begun = True
    reader.at += HEADER
    return TAKEN


cdef int take_aux(RdbLoad* load, Reader* reader) noexcept nogil:
    """A field about the file: a name and a value."""
    cdef Loose name, value
    cdef long long number
    if not take_string(reader, &name):
        return failed(load, reader, b"the name of a field is broken")
    if not take_string(reader, &value):
        drop(&name)
        return failed(load, reader, b"the value of a field is broken")
    if (is_word(&name.text, b"repl-stream-db") and read_number(value.text.data, value.text.length, &number)
            and 0 <= number < DATABASES):
        load.stream_database = <int> number
    drop(&name)
    drop(&value)
    return TAKEN


cdef int take_number(RdbLoad* load, Reader* reader, uint64_t* number) noexcept nogil:
    cdef bint special
    if not take_length(reader, number, &special):
        return failed(load, reader, b"a number is broken")
    return failed(load, reader, b"a number is broken") if special else TAKEN


cdef int take_key(RdbLoad* load, Reader* reader, int kind) noexcept nogil:
    """A type and a key: begin the entry."""
    cdef Loose key
    if not take_string(reader, &key):
        return failed(load, reader, b"a key is broken")
    load.building = rdb_begin(load.node, &load.value, kind, &key.text)
    drop(&key)
    if not load.building:
        return failed(load, reader, b"a value is of a type that is not read here (a stream, a module's, before Redis 7)")
    return TAKEN


cdef int take_value(RdbLoad* load, Reader* reader) noexcept nogil:
    """Go on with the value; once it is whole, put it into the keyspace."""
    cdef int status = rdb_go_on(load.node, &load.value, reader)
    cdef Database* database = load.database
    cdef Entry* entry = load.value.built.entry
    cdef Place place
    cdef Slice name
    if status == VALUE_BROKEN:
        return failed(load, reader, b"a value is broken")
    if status == VALUE_CUT:
        return CUT
    name = entry_name(entry)
    if not load.keep_expired and load.expire_ms and load.expire_ms <= load.node.now_ms:
        load_end(load)
        load.expired += 1
    else:
        if table_find(&database.keys, name.data, name.length, key_hash(database, &name), &place):
            return failed(load, reader, b"a key is there twice")
        if load.frequency and load.node.lfu:
            entry.clock = usage_of(load.node, load.frequency)
        elif load.idle_ticks and not load.node.lfu:
            entry.clock = load.node.ticks - load.idle_ticks if load.idle_ticks < load.node.ticks else 0
        table_insert(&database.keys, entry, &place)
        key_expire(database, &place, load.expire_ms)
        load.building = False
        load.keys += 1
    load.expire_ms = 0
    load.idle_ticks = 0
    load.frequency = 0
    return TAKEN


cdef int take_opcode(RdbLoad* load, Reader* reader) noexcept nogil:
    """One opcode with its operands, or a type and a key."""
    cdef Loose library
    cdef uint64_t number, other
    cdef int32_t seconds
    cdef int kind, status
    if not there(reader, 1):
        return CUT
    kind = reader.at[0]
    if kind == END:
        return ENDED if load.version < CHECKED_FROM or there(reader, 1 + CHECKSUM) else CUT
    reader.at += 1
    if kind == AUX:
        return take_aux(load, reader)
    if kind == SELECT:
        status = take_number(load, reader, &number)
        if status == TAKEN and number >= DATABASES:
            return failed(load, reader, b"there are not so many databases here")
        if status == TAKEN:
            load.database = &load.node.databases[number]
        return status
    if kind == SIZES:
        status = take_number(load, reader, &number)
        return take_number(load, reader, &other) if status == TAKEN else status
    if kind == EXPIRE_MS:
        if not there(reader, 8):
            return CUT
        memcpy(&number, reader.at, 8)
        reader.at += 8
        # A time of 0 is long ago here and "never" in an entry.
        load.expire_ms = <int64_t> number if 0 < <int64_t> number < INT64_MAX else 1
        return TAKEN
    if kind == EXPIRE:
        if not there(reader, 4):
            return CUT
        memcpy(&seconds, reader.at, 4)
        reader.at += 4
        load.expire_ms = <int64_t> seconds * 1000 if seconds > 0 else 1
        return TAKEN
    if kind == IDLE:
        status = take_number(load, reader, &number)
        if status == TAKEN:
            load.idle_ticks = <uint32_t> (number * 1000000 >> 16) if number < 1 << 24 else 1 << 28
        return status
    if kind == FREQUENCY:
        if not there(reader, 1):
            return CUT
        load.frequency = reader.at[0]
        reader.at += 1
        return TAKEN
    if kind == FUNCTION:
        # Functions are Lua, which is not run here; those that call them are told so.
        if not take_string(reader, &library):
            return failed(load, reader, b"a library of functions is broken")
        drop(&library)
        return TAKEN
    return take_key(load, reader, kind)


cdef int take_end(RdbLoad* load, Reader* reader) noexcept nogil:
    cdef uint64_t checksum
    reader.at += 1
    if load.version >= CHECKED_FROM:
        memcpy(&checksum, reader.at, CHECKSUM)
        # Redis writes 0 where checksums are switched off.
        if checksum and checksum != crc64(load.checksum, <const char*> reader.at - 1, 1):
            return failed(load, reader, b"the checksum is wrong")
        reader.at += CHECKSUM
    return ENDED


cdef int load_feed(RdbLoad* load, const char* data, size_t length, size_t* used, size_t* need) noexcept nogil:
    """Take what is whole of the next `length` bytes, which begin with what the last call did not use.

    used[0]: bytes that are done with. need[0]: bytes that what comes next takes at least, with LOAD_MORE. After any
    status but LOAD_MORE, load_end(); what was put into the keyspace so far stays there.
    """
    cdef Reader reader
    cdef const uint8_t* at
    cdef const uint8_t* counted = <const uint8_t*> data
    cdef int status = TAKEN
    reader.at = counted
    reader.end = reader.at + length
    reader.lack = 0
    while status == TAKEN:
        at = reader.at
        if load.building:
            status = take_value(load, &reader)
            if status == CUT:
                break
        elif load.begun:
            status = take_opcode(load, &reader)
        else:
            status = take_header(load, &reader)
        if status == CUT:
            reader.at = at
    load.checksum = crc64(load.checksum, <const char*> counted, reader.at - counted)
    if status == ENDED:
        status = take_end(load, &reader)
    used[0] = <const char*> reader.at - data
    load.taken += used[0]
    need[0] = <size_t> (reader.end - reader.at) + reader.lack
    return LOAD_MORE if status == CUT else LOAD_DONE if status == ENDED else LOAD_BROKEN
