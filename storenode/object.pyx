# cython: language_level=3, boundscheck=False, wraparound=False, cdivision=True, initializedcheck=False
"""Object. See object.pxd. Encodings have the names that redis-server 7.0 gives them, whatever the layout here."""

from libc.stdint cimport int64_t
from libc.stdio cimport snprintf
from libc.string cimport strlen

from proxy.wire.resp cimport read_number
from storenode.answer cimport (
    answer_error, answer_nil, answer_number, answer_ok, answer_raw, answer_syntax, answer_text,
)
from storenode.arguments cimport take_float, take_integer, is_word
from storenode.changes cimport key_missed
from storenode.collection cimport dict_bytes
from storenode.deque cimport deque_bytes, deque_of
from storenode.entry cimport entry_slice, entry_structure
from storenode.heap cimport heap_bytes
from storenode.keyspace cimport key_peek
from storenode.ranking cimport ranking_bytes, ranking_of
from storenode.types cimport (
    DEQUE, EMBSTR, INTEGER, INTS, LIST, NOEVICTION, PACK, RANKING, SET, TABLE, TYPES, Call, Dict, Entry, Place, Slice,
)
from storenode.usage cimport usage_count, usage_idle

cdef extern from "<unistd.h>" nogil:
    int usleep(unsigned int useconds)

cdef enum:
    SHARED_INTEGERS = 10000    # Redis shares the objects of 0 … 9999 and reports this as their REFCOUNT
    SLEEP_MOST = 60            # seconds of a DEBUG SLEEP: it stops everything

cdef const char* names[TYPES]
names[0] = b"string"
names[1] = b"list"
names[2] = b"set"
names[3] = b"zset"
names[4] = b"hash"


cdef const char* type_name(int type) noexcept nogil:
    return names[type]


cdef const char* encoding_name(const Entry* entry) noexcept nogil:
    if entry.type == LIST:
        return b"quicklist"
    if entry.type == SET:
        return b"intset" if entry.encoding == INTS else b"hashtable"
    if entry.encoding == PACK:
        return b"listpack"
    if entry.encoding == TABLE:
        return b"hashtable"
    if entry.encoding == RANKING:
        return b"skiplist"
    if entry.encoding == INTEGER:
        return b"int"
    return b"embstr" if entry.encoding == EMBSTR else b"raw"


cdef void command_type(Call* call) noexcept nogil:
    cdef Place place
    cdef const char* name = b"none"
    if key_peek(call.database, &call.argv[1], &place):
        name = type_name(place.entry.type)
        call.node.stats.hits += 1
    else:
        key_missed(call.database, &call.argv[1])
    answer_raw(call, b"+", 1)
    answer_raw(call, name, strlen(name))
    answer_raw(call, b"\r\n", 2)


cdef bint find_object(Call* call, Place* place) noexcept nogil:
    if key_peek(call.database, &call.argv[2], place):
        return True
    answer_nil(call)
    return False


cdef void command_object_encoding(Call* call) noexcept nogil:
    cdef Place place
    if find_object(call, &place):
        answer_text(call, encoding_name(place.entry))


cdef void command_object_idletime(Call* call) noexcept nogil:
    cdef Place place
    if find_object(call, &place):
        if call.node.lfu:
            answer_error(call, b"ERR An LFU maxmemory policy is selected, idle time not tracked. Please note that when "
                               b"switching between policies at runtime LRU and LFU data will take some time to adjust.")
        else:
            answer_number(call, (<long long> usage_idle(call.node, place.entry) << 16) // 1000000)


cdef void command_object_refcount(Call* call) noexcept nogil:
    """1, or the number that Redis gives to the small integers that it shares."""
    cdef Place place
    cdef Slice value
    cdef long long number = -1
    if find_object(call, &place):
        value = entry_slice(place.entry)
        if (place.entry.encoding == INTEGER and (call.node.maxmemory == 0 or call.node.policy == NOEVICTION)
                and read_number(value.data, value.length, &number) and 0 <= number < SHARED_INTEGERS):
            answer_number(call, 2147483647)
        else:
            answer_number(call, 1)


cdef void command_object_freq(Call* call) noexcept nogil:
    cdef Place place
    if find_object(call, &place):
        if call.node.lfu:
            answer_number(call, usage_count(call.node, place.entry))
            return
        answer_error(call, b"ERR An LFU maxmemory policy is not selected, access frequency not tracked. Please note "
                           b"that when switching between policies at runtime LRU and LFU data will take some time to "
                           b"adjust.")


cdef size_t value_bytes(const Entry* entry) noexcept nogil:
    """What a key takes, with its share of a bucket. Walks the whole of a large value."""
    cdef size_t total = heap_bytes(entry) + sizeof(void*) + 1
    if entry.encoding == DEQUE:
        total += deque_bytes(deque_of(entry))
    elif entry.encoding == RANKING:
        total += ranking_bytes(ranking_of(entry)) + dict_bytes(&ranking_of(entry).members)
    elif entry.encoding == TABLE:
        total += heap_bytes(entry_structure(entry)) + dict_bytes(<Dict*> entry_structure(entry))
    return total


cdef void command_memory_usage(Call* call) noexcept nogil:
    """MEMORY USAGE key [SAMPLES n …]. Always exact: SAMPLES is read and changes nothing."""
    cdef Place place
    cdef long long samples
    cdef int at
    for at in range(3, call.argc, 2):
        if at + 1 == call.argc or not is_word(&call.argv[at], b"samples"):
            answer_syntax(call)
            return
        if not take_integer(call, &call.argv[at + 1], &samples):
            return
        if samples < 0:
            answer_syntax(call)
            return
    if find_object(call, &place):
        answer_number(call, <long long> value_bytes(place.entry))


cdef void command_debug_sleep(Call* call) noexcept nogil:
    """DEBUG SLEEP seconds: nothing is served meanwhile. For tests of timeouts."""
    cdef long double seconds
    if not take_float(&call.argv[2], &seconds) or seconds < 0 or seconds > SLEEP_MOST:
        answer_error(call, b"ERR value is out of range, must be between 0 and 60 seconds")
        return
    while seconds > 0:
        usleep(<unsigned int> ((seconds if seconds < 0.5 else 0.5) * 1000000))
        seconds -= 0.5
    answer_ok(call)


cdef void command_debug_object(Call* call) noexcept nogil:
    cdef Place place
    cdef char text[256]
    if not key_peek(call.database, &call.argv[2], &place):
        answer_error(call, b"ERR no such key")
        return
    snprintf(text, sizeof(text),
             b"+Value at:%p refcount:1 encoding:%s serializedlength:%zu lru:%u lru_seconds_idle:%u\r\n",
             <void*> place.entry, encoding_name(place.entry), value_bytes(place.entry), place.entry.clock,
             <unsigned int> ((<int64_t> usage_idle(call.node, place.entry) << 16) // 1000000))
    answer_raw(call, text, strlen(text))


cdef void command_debug_set_active_expire(Call* call) noexcept nogil:
    """DEBUG SET-ACTIVE-EXPIRE 0|1: with 0 expired keys stay until they are asked for."""
    cdef long long wanted
    if take_integer(call, &call.argv[2], &wanted):
        call.node.expiry_off = wanted == 0
        answer_ok(call)
