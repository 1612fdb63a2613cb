# cython: language_level=3, boundscheck=False, wraparound=False, cdivision=True, initializedcheck=False
"""Snapshot: writing. See snapshot.pxd."""

from libc.stdint cimport uint64_t
from libc.stdio cimport snprintf
from libc.string cimport memcpy, strlen

from proxy.wire.system cimport EINTR, close, errno, realtime_us
from storenode.crc64 cimport crc64
from storenode.files cimport (
    O_CLOEXEC, O_CREAT, O_TRUNC, O_WRONLY, WHOLE_PATH, fdatasync, file_replace, file_write, open, unlink,
)
from storenode.rdb cimport RDB_VERSION, rdb_write_key, rdb_write_length, rdb_write_string
from storenode.table cimport Walk, table_next, table_walk
from storenode.text cimport Text, text_add, text_free, text_room
from storenode.types cimport DATABASES, Database, Entry, Node

cdef enum:
    WRITE_FROM = 256 << 10     # bytes gathered before they are written
    SYNC_EVERY = 32 << 20      # bytes after which they are synced: the disk is not given gigabytes at the end

cdef enum Opcode:
    AUX = 250
    SIZES = 251
    EXPIRE_MS = 252
    SELECT = 254
    END = 255

cdef struct Sink:
    Text text
    int fd
    int error                  # errno of the first write that failed; the rest is not written
    bint sync
    uint64_t checksum
    size_t unsynced


cdef void drain(void* context, Text* text) noexcept nogil:
    """rdb.Drain: write what was gathered."""
    cdef Sink* sink = <Sink*> context
    sink.checksum = crc64(sink.checksum, text.data, text.length)
    if sink.error == 0:
        if file_write(sink.fd, text.data, text.length) != text.length:
            sink.error = errno
        sink.unsynced += text.length
        if sink.sync and sink.error == 0 and sink.unsynced >= SYNC_EVERY:
            sink.unsynced = 0
            if fdatasync(sink.fd) < 0:
                sink.error = errno
    text.length = 0


cdef inline void put_byte(Text* text, int byte) noexcept nogil:
    text_room(text, 1)[0] = <char> byte
    text.length += 1


cdef void put_field(Text* text, const char* name, const char* value) noexcept nogil:
    put_byte(text, AUX)
    rdb_write_string(text, name, strlen(name))
    rdb_write_string(text, value, strlen(value))


cdef void put_number(Text* text, const char* name, long long value) noexcept nogil:
    cdef char digits[24]
    snprintf(digits, sizeof(digits), b"%lld", value)
    put_field(text, name, digits)


cdef void put_keys(Sink* sink, Database* database) noexcept nogil:
    cdef Text* text = &sink.text
    cdef Walk walk
    cdef Entry* entry
    put_byte(text, SELECT)
    rdb_write_length(text, database.number)
    put_byte(text, SIZES)
    rdb_write_length(text, database.keys.count)
    rdb_write_length(text, database.keys.volatile_count)
    table_walk(&database.keys, &walk)
    entry = table_next(&walk)
    while entry != NULL and sink.error == 0:
        if entry.expire_ms:
            put_byte(text, EXPIRE_MS)
            memcpy(text_room(text, 8), &entry.expire_ms, 8)
            text.length += 8
        rdb_write_key(text, entry, drain, sink)
        if text.length >= WRITE_FROM:
            drain(sink, text)
        entry = table_next(&walk)


cdef int snapshot_write(Node* node, int fd, int flags, bint sync) noexcept nogil:
    """Write the keyspace to a descriptor, `sync`: a file's, on the way to disk; returns 0 or an errno."""
    cdef Sink sink = Sink(text=Text(data=NULL, length=0, room=0), fd=fd, error=0, sync=sync, checksum=0, unsynced=0)
    cdef char header[16]
    cdef uint64_t checksum
    cdef int number
    snprintf(header, sizeof(header), b"REDIS%04d", <int> RDB_VERSION)
    text_add(&sink.text, header)
    put_field(&sink.text, b"redis-ver", b"7.0.15")
    put_number(&sink.text, b"redis-bits", sizeof(void*) * 8)
    put_number(&sink.text, b"ctime", <long long> (realtime_us() // 1000000))
    put_number(&sink.text, b"used-mem", <long long> node.memory)
    if flags & WITH_STREAM:
        # A replica passes on its primary's stream, in which the primary has selected.
        if node.primary != NULL:
            number = node.primary.database.number
        else:
            number = node.effects.database if node.effects.database > 0 else 0
        put_number(&sink.text, b"repl-stream-db", number)
    put_number(&sink.text, b"aof-base", (flags & AS_BASE) != 0)
    for number in range(DATABASES):
        if node.databases[number].keys.count and sink.error == 0:
            put_keys(&sink, &node.databases[number])
    put_byte(&sink.text, END)
    checksum = crc64(sink.checksum, sink.text.data, sink.text.length)
    memcpy(text_room(&sink.text, 8), &checksum, 8)
    sink.text.length += 8
    drain(&sink, &sink.text)
    if sync and sink.error == 0 and fdatasync(fd) < 0:
        sink.error = errno
    text_free(&sink.text)
    return sink.error


cdef int snapshot_save(Node* node, const char* folder, const char* name, int flags) noexcept nogil:
    """Write the keyspace as folder/name; returns 0 or an errno, and what was there before is then untouched."""
    cdef char path[WHOLE_PATH]
    cdef char temporary[WHOLE_PATH]
    cdef int error, fd
    snprintf(path, sizeof(path), b"%s/%s", folder, name)
    snprintf(temporary, sizeof(temporary), b"%s/%s.temp", folder, name)
    fd = open(temporary, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0o644)
    if fd < 0:
        return errno
    error = snapshot_write(node, fd, flags, True)
    if close(fd) < 0 and error == 0 and errno != EINTR:
        error = errno
    if error == 0 and not file_replace(temporary, path, folder):
        error = errno
    if error:
        unlink(temporary)
    return error
