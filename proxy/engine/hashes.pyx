# cython: language_level=3, boundscheck=False, wraparound=False, cdivision=True, initializedcheck=False
"""The twelve key hashes of twemproxy 0.5.0, to the bit.

What they own: constant tables, filled once at import.  Where they stand: a request's key is hashed once, by the ring
(`ring.pyx`).  Eight of the twelve are textbook functions; four carry an accident of twemproxy that places keys and is
therefore kept:

* `fnv1_64`, `fnv1a_64` return the low 32 bits of the 64-bit hash;
* `crc16` never masks its accumulator to 16 bits;
* `crc32` keeps 15 bits of the checksum, so under ketama every key lands on the owner of the ring's lowest points
  (`crc32a` is the whole checksum);
* `fnv*`, `one_at_a_time` and the last byte of `hsieh` take bytes as signed.

Sources: FNV by Fowler, Noll and Vo; one-at-a-time and lookup3 by Bob Jenkins; MurmurHash2 by Austin Appleby;
SuperFastHash by Paul Hsieh; MD5 is RFC 1321; CRC-16/XMODEM and CRC-32/ISO-HDLC tables from their polynomials.
"""
import math

HASHES = (
    "one_at_a_time",
    "md5",
    "crc16",
    "crc32",
    "crc32a",
    "fnv1_64",
    "fnv1a_64",
    "fnv1_32",
    "fnv1a_32",
    "hsieh",
    "murmur",
    "jenkins",
)

cdef unsigned int CRC16_TABLE[256]
cdef unsigned int CRC32_TABLE[256]
cdef unsigned int MD5_SINES[64]
cdef unsigned int* MD5_TURNS = [7, 12, 17, 22, 5, 9, 14, 20, 4, 11, 16, 23, 6, 10, 15, 21]  # four a round, repeated


cdef void fill_crc_tables() noexcept nogil:
    cdef unsigned int byte, forward, reflected
    cdef int bit
    for byte in range(256):
        forward = byte << 8
        reflected = byte
        for bit in range(8):
            forward = (forward << 1) ^ (0x1021U if forward & 0x8000U else 0U)
            reflected = (reflected >> 1) ^ (0xedb88320U if reflected & 1U else 0U)
        CRC16_TABLE[byte] = forward & 0xffffU
        CRC32_TABLE[byte] = reflected


fill_crc_tables()
for _i in range(64):
    MD5_SINES[_i] = int(abs(math.sin(_i + 1)) * 2**32)  # RFC 1321, 3.4


cdef inline unsigned int rotate(unsigned int word, unsigned int bits) noexcept nogil:
    return (word << bits) | (word >> (32 - bits))


cdef unsigned int one_at_a_time(const unsigned char* key, size_t length) noexcept nogil:
    cdef unsigned int h = 0
    cdef size_t i
    for i in range(length):
        h += <unsigned int><signed char>key[i]
        h += h << 10
        h ^= h >> 6
    h += h << 3
    h ^= h >> 11
    h += h << 15
    return h


cdef void md5_block(unsigned int* state, const unsigned char* block) noexcept nogil:
    # One of 64 steps a pass; a loop with the round chosen by its number is three times smaller than the usual unrolled
    # macros and costs about 0.12 us a short key, which few pay: pools that hash with MD5 are migrated ones.
    cdef unsigned int a = state[0], b = state[1], c = state[2], d = state[3], mixed
    cdef int i, word
    for i in range(64):
        if i < 16:
            mixed, word = d ^ (b & (c ^ d)), i
        elif i < 32:
            mixed, word = c ^ (d & (b ^ c)), (5 * i + 1) & 15
        elif i < 48:
            mixed, word = b ^ c ^ d, (3 * i + 5) & 15
        else:
            mixed, word = c ^ (b | ~d), (7 * i) & 15
        mixed += a + MD5_SINES[i] + load_le32(block + 4 * word)
        a, d, c, b = d, c, b, b + rotate(mixed, MD5_TURNS[(i >> 4) * 4 + (i & 3)])
    state[0] += a
    state[1] += b
    state[2] += c
    state[3] += d


cdef void md5_words(const unsigned char* message, size_t length, unsigned int* words) noexcept nogil:
    cdef unsigned char tail[128]  # what is left of the message, 0x80, zeros, the length in bits: one block or two
    cdef unsigned long long bits = <unsigned long long>length << 3
    cdef size_t left = length & 63
    cdef size_t tail_size = 64 if left < 56 else 128
    cdef size_t i
    words[0] = 0x67452301U
    words[1] = 0xefcdab89U
    words[2] = 0x98badcfeU
    words[3] = 0x10325476U
    for i in range(length >> 6):
        md5_block(words, message + 64 * i)
    message += length - left
    for i in range(tail_size):
        tail[i] = message[i] if i < left else 0
    tail[left] = 0x80
    for i in range(8):
        tail[tail_size - 8 + i] = <unsigned char>(bits >> (8 * i))
    md5_block(words, tail)
    if tail_size == 128:
        md5_block(words, tail + 64)


cdef unsigned int md5(const unsigned char* key, size_t length) noexcept nogil:
    cdef unsigned int words[4]
    md5_words(key, length, words)
    return words[0]


cdef unsigned int crc16(const unsigned char* key, size_t length) noexcept nogil:
    cdef unsigned int crc = 0
    cdef size_t i
    for i in range(length):
        crc = (crc << 8) ^ CRC16_TABLE[((crc >> 8) ^ key[i]) & 0xff]
    return crc


cdef unsigned int crc32a(const unsigned char* key, size_t length) noexcept nogil:
    cdef unsigned int crc = 0xffffffffU
    cdef size_t i
    for i in range(length):
        crc = (crc >> 8) ^ CRC32_TABLE[(crc ^ key[i]) & 0xff]
    return ~crc


cdef unsigned int crc32(const unsigned char* key, size_t length) noexcept nogil:
    return (crc32a(key, length) >> 16) & 0x7fff


cdef unsigned int fnv1_64(const unsigned char* key, size_t length) noexcept nogil:
    cdef unsigned int h = 0x84222325U
    cdef size_t i
    for i in range(length):
        h = (h * 0x1b3U) ^ <unsigned int><signed char>key[i]
    return h


cdef unsigned int fnv1_32(const unsigned char* key, size_t length) noexcept nogil:
    cdef unsigned int h = 2166136261U
    cdef size_t i
    for i in range(length):
        h = (h * 16777619U) ^ <unsigned int><signed char>key[i]
    return h


cdef unsigned int fnv1a_32(const unsigned char* key, size_t length) noexcept nogil:
    cdef unsigned int h = 2166136261U
    cdef size_t i
    for i in range(length):
        h = (h ^ <unsigned int><signed char>key[i]) * 16777619U
    return h


cdef inline unsigned int load_le16(const unsigned char* at) noexcept nogil:
    return at[0] | (<unsigned int>at[1] << 8)


cdef unsigned int hsieh(const unsigned char* key, size_t length) noexcept nogil:
    cdef unsigned int h = 0
    if length == 0:
        return 0
    while length >= 4:
        h += load_le16(key)
        h = (h << 16) ^ (load_le16(key + 2) << 11) ^ h
        h += h >> 11
        key += 4
        length -= 4
    if length == 3:
        h += load_le16(key)
        h ^= h << 16
        h ^= <unsigned int><signed char>key[2] << 18
        h += h >> 11
    elif length == 2:
        h += load_le16(key)
        h ^= h << 11
        h += h >> 17
    elif length == 1:
        h += key[0]  # unsigned, unlike the third byte above
        h ^= h << 10
        h += h >> 1
    h ^= h << 3
    h += h >> 5
    h ^= h << 4
    h += h >> 17
    h ^= h << 25
    h += h >> 6
    return h


cdef unsigned int jenkins(const unsigned char* key, size_t length) noexcept nogil:
    # lookup3 hashlittle, initial value 13.
    cdef unsigned int a, b, c
    cdef unsigned char tail[12]
    cdef size_t i
    a = b = c = 0xdeadbeefU + <unsigned int>length + 13
    if length == 0:
        return c
    while length > 12:
        a += load_le32(key)
        b += load_le32(key + 4)
        c += load_le32(key + 8)
        a = (a - c) ^ rotate(c, 4)
        c += b
        b = (b - a) ^ rotate(a, 6)
        a += c
        c = (c - b) ^ rotate(b, 8)
        b += a
        a = (a - c) ^ rotate(c, 16)
        c += b
        b = (b - a) ^ rotate(a, 19)
        a += c
        c = (c - b) ^ rotate(b, 4)
        b += a
        key += 12
        length -= 12
    for i in range(12):  # the last 1 to 12 bytes, as if the key went on with zeros
        tail[i] = key[i] if i < length else 0
    a += load_le32(tail)
    b += load_le32(tail + 4)
    c += load_le32(tail + 8)
    c = (c ^ b) - rotate(b, 14)
    a = (a ^ c) - rotate(c, 11)
    b = (b ^ a) - rotate(a, 25)
    c = (c ^ b) - rotate(b, 16)
    a = (a ^ c) - rotate(c, 4)
    b = (b ^ a) - rotate(a, 14)
    c = (c ^ b) - rotate(b, 24)
    return c


cdef unsigned int hash_key_rare(int kind, const unsigned char* key, size_t length) noexcept nogil:
    if kind == HASH_ONE_AT_A_TIME:
        return one_at_a_time(key, length)
    if kind == HASH_MD5:
        return md5(key, length)
    if kind == HASH_CRC16:
        return crc16(key, length)
    if kind == HASH_CRC32:
        return crc32(key, length)
    if kind == HASH_CRC32A:
        return crc32a(key, length)
    if kind == HASH_FNV1_64:
        return fnv1_64(key, length)
    if kind == HASH_FNV1_32:
        return fnv1_32(key, length)
    if kind == HASH_FNV1A_32:
        return fnv1a_32(key, length)
    if kind == HASH_HSIEH:
        return hsieh(key, length)
    return jenkins(key, length)


def hash_name_to_kind(name):
    if name not in HASHES:
        raise ValueError(f"unknown hash {name!r}: use one of {', '.join(HASHES)}")
    return HASHES.index(name)


def key_hash(name, bytes key not None):
    return hash_key(hash_name_to_kind(name), <const unsigned char*>key, len(key))
