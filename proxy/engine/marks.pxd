# cython: language_level=3
"""Marks: what is known of writes, so that no copy of a key outlives one. Step 4 of a request's life, beside the sending.

Keys are hashed to STRIPES counters. Every engine has its own set and alone writes it; all engines read all sets. A
write adds 1 to its stripes when it is queued for the node (it is open), and OPENED - 1 when its reply is here or its
connection is gone (it is over). So the sum of a stripe over the engines only grows, its low bits tell how many writes
are open, and whoever finds the sum that he found before knows that no write of any engine began or ended since.

That is all that keeps copies exact within a process: the client's reply leaves after its write has changed the sum, so
whoever asks later, through whichever engine, finds copies from before void. No engine has to be asked or told, and no
reply has to wait. The alternative, messages to every engine and replies held until they were confirmed, costs a turn
for each write of a hot key. A write costs two additions in a table of 128 KiB; two keys of one stripe disturb each
other, which costs a fetch.
"""

from libc.stdint cimport uint16_t, uint32_t, uint64_t

from proxy.engine.types cimport Core, Row
from proxy.wire.resp cimport Frame

cdef enum:
    STRIPES = 16384            # a power of two; their numbers fit 16 bits
    OPENED = 1 << 24           # above the bits that count open writes
    EVERY = 0xFFFF             # noted in place of a stripe: every key may be written
    ONE = 1                    # what marks_open() returns for a single stripe: stripe << 1 | ONE; else a Stripes*

cdef struct Stripes:           # those of one request; the numbers follow
    uint32_t count
    uint32_t waits             # opens nothing: only its end counts

cdef extern from *:
    """
    #include <stdint.h>
    #include <string.h>
    static inline uint64_t quench_mix(uint64_t a, uint64_t b) {
        __uint128_t product = (__uint128_t) a * b;
        return (uint64_t) product ^ (uint64_t) (product >> 64);
    }
    static inline uint64_t quench_load(const char *at, size_t size) {
        uint64_t word = 0;
        memcpy(&word, at, size);
        return word;
    }
    /* 64 bits of a key. Multiplication folded onto itself mixes eight bytes at a time; the seed keeps others from
       choosing keys of one stripe. */
    static inline uint64_t quench_key_hash(uint64_t seed, const char *key, size_t length) {
        uint64_t hash = seed ^ (length * 0x9E3779B97F4A7C15ULL);
        while (length > 8) {
            hash = quench_mix(hash ^ quench_load(key, 8), 0xA0761D6478BD642FULL);
            key += 8;
            length -= 8;
        }
        if (length == 8)
            hash ^= quench_load(key, 8);
        else if (length >= 4)
            hash ^= quench_load(key, 4) | quench_load(key + length - 4, 4) << 32;
        else if (length)
            hash ^= (uint64_t) (unsigned char) key[0] << 16 | (uint64_t) (unsigned char) key[length >> 1] << 8
                | (unsigned char) key[length - 1];
        return quench_mix(hash ^ 0xE7037ED1A0B428DBULL, 0x8EBC6AF09C88C6E3ULL);
    }
    #define quench_load_word(p) __atomic_load_n((p), __ATOMIC_ACQUIRE)
    #define quench_forget(p) ((void) __atomic_fetch_add((p), 1, __ATOMIC_SEQ_CST))
    #define quench_store_word(p, v) __atomic_store_n((p), (v), __ATOMIC_RELEASE)
    """
    uint64_t quench_key_hash(uint64_t seed, const char* key, size_t length) nogil
    uint64_t quench_load_word(uint64_t* at) nogil
    void quench_store_word(uint64_t* at, uint64_t value) nogil
    void quench_forget(uint64_t* at) nogil

cdef uint64_t* marks_new() noexcept nogil
cdef uint64_t marks_open(Core* core, bint waits) noexcept nogil
cdef void marks_close(Core* core, uint64_t opened) noexcept nogil
cdef uint32_t marks_count(uint64_t opened) noexcept nogil
cdef uint16_t marks_stripe(uint64_t opened, uint32_t index) noexcept nogil
cdef void marks_note_every(Core* core) noexcept nogil
cdef void marks_note(Core* core, const char* key, size_t length) noexcept nogil
cdef void marks_note_request(Core* core, const Row* row, const Frame* frame) noexcept nogil
cdef void marks_note_keys(Core* core, int count) noexcept nogil
cdef void marks_note_stripes(Core* core, const uint16_t* stripes, uint32_t count) noexcept nogil


cdef inline uint16_t* numbers(Stripes* stripes) noexcept nogil:
    return <uint16_t*> (stripes + 1)


cdef inline uint64_t key_hash(Core* core, const char* key, size_t length) noexcept nogil:
    return quench_key_hash(core.peers.seed, key, length)


cdef inline uint16_t stripe_of(uint64_t hash) noexcept nogil:
    return <uint16_t> (hash >> 50)


cdef inline uint64_t marks_sum(Core* core, uint64_t hash) noexcept nogil:
    """What a copy of this key, or a fetch for one, is valid for."""
    cdef uint64_t total = 0
    cdef int index
    for index in range(core.peers.count):
        total += quench_load_word(core.peers.marks[index] + stripe_of(hash))
    return total


cdef inline bint marks_quiet(uint64_t total) noexcept nogil:
    """Is no write of the stripe open?"""
    return total & (OPENED - 1) == 0


cdef inline void marks_bump(Core* core, uint64_t hash) noexcept nogil:
    """The key was changed, by whomever."""
    cdef uint64_t* word = core.peers.marks[core.index] + stripe_of(hash)
    quench_store_word(word, word[0] + OPENED)
