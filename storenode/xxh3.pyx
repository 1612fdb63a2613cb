# cython: language_level=3, boundscheck=False, wraparound=False, cdivision=True, initializedcheck=False
"""XXH3: one way of mixing for each range of lengths. See xxh3.pxd."""

from libc.stdint cimport uint32_t, uint64_t

from storenode.hash cimport store_fold, word4, word8

cdef extern from *:
    """
    static const char xxh3_secret[192] =
        "\\xb8\\xfe\\x6c\\x39\\x23\\xa4\\x4b\\xbe\\x7c\\x01\\x81\\x2c\\xf7\\x21\\xad\\x1c\\xde\\xd4\\x6d\\xe9\\x83\\x90\\x97\\xdb"
        "\\x72\\x40\\xa4\\xa4\\xb7\\xb3\\x67\\x1f\\xcb\\x79\\xe6\\x4e\\xcc\\xc0\\xe5\\x78\\x82\\x5a\\xd0\\x7d\\xcc\\xff\\x72\\x21"
        "\\xb8\\x08\\x46\\x74\\xf7\\x43\\x24\\x8e\\xe0\\x35\\x90\\xe6\\x81\\x3a\\x26\\x4c\\x3c\\x28\\x52\\xbb\\x91\\xc3\\x00\\xcb"
        "\\x88\\xd0\\x65\\x8b\\x1b\\x53\\x2e\\xa3\\x71\\x64\\x48\\x97\\xa2\\x0d\\xf9\\x4e\\x38\\x19\\xef\\x46\\xa9\\xde\\xac\\xd8"
        "\\xa8\\xfa\\x76\\x3f\\xe3\\x9c\\x34\\x3f\\xf9\\xdc\\xbb\\xc7\\xc7\\x0b\\x4f\\x1d\\x8a\\x51\\xe0\\x4b\\xcd\\xb4\\x59\\x31"
        "\\xc8\\x9f\\x7e\\xc9\\xd9\\x78\\x73\\x64\\xea\\xc5\\xac\\x83\\x34\\xd3\\xeb\\xc3\\xc5\\x81\\xa0\\xff\\xfa\\x13\\x63\\xeb"
        "\\x17\\x0d\\xdd\\x51\\xb7\\xf0\\xda\\x49\\xd3\\x16\\x55\\x26\\x29\\xd4\\x68\\x9e\\x2b\\x16\\xbe\\x58\\x7d\\x47\\xa1\\xfc"
        "\\x8f\\xf8\\xb8\\xd1\\x7a\\xd0\\x31\\xce\\x45\\xcb\\x3a\\x8f\\x95\\x16\\x04\\x28\\xaf\\xd7\\xfb\\xca\\xbb\\x4b\\x40\\x7e";
    """
    const char* secret "xxh3_secret"
    uint64_t __builtin_bswap64(uint64_t value) noexcept nogil

cdef enum:
    SECRET = 192               # bytes
    STRIPE = 64                # bytes of input mixed into the eight lanes at once
    STRIPES = 16               # of a block, after which the lanes are scrambled
    MIDDLE_MOST = 240          # bytes; longer input takes the lanes

cdef uint64_t PRIME32_1 = 0x9E3779B1
cdef uint64_t PRIME32_2 = 0x85EBCA77
cdef uint64_t PRIME32_3 = 0xC2B2AE3D
cdef uint64_t PRIME64_1 = 0x9E3779B185EBCA87
cdef uint64_t PRIME64_2 = 0xC2B2AE3D27D4EB4F
cdef uint64_t PRIME64_3 = 0x165667B19E3779F9
cdef uint64_t PRIME64_4 = 0x85EBCA77C2B2AE63
cdef uint64_t PRIME64_5 = 0x27D4EB2F165667C5
cdef uint64_t MIX_1 = 0x165667919E3779F9
cdef uint64_t MIX_2 = 0x9FB21C651E98DF25


cdef inline uint64_t rotated(uint64_t value, int bits) noexcept nogil:
    return value << bits | value >> (64 - bits)


cdef inline uint64_t avalanche(uint64_t hashed) noexcept nogil:
    hashed = (hashed ^ hashed >> 37) * MIX_1
    return hashed ^ hashed >> 32


cdef inline uint64_t avalanche_short(uint64_t hashed) noexcept nogil:
    """That of XXH64."""
    hashed = (hashed ^ hashed >> 33) * PRIME64_2
    hashed = (hashed ^ hashed >> 29) * PRIME64_3
    return hashed ^ hashed >> 32


cdef inline uint64_t mix(const char* data, const char* key) noexcept nogil:
    """16 bytes with 16 of the secret."""
    return store_fold(word8(data) ^ word8(key), word8(data + 8) ^ word8(key + 8))


cdef uint64_t up_to_16(const char* data, size_t length) noexcept nogil:
    cdef uint64_t low, high
    if length > 8:
        low = word8(data) ^ word8(secret + 24) ^ word8(secret + 32)
        high = word8(data + length - 8) ^ word8(secret + 40) ^ word8(secret + 48)
        return avalanche(length + __builtin_bswap64(low) + high + store_fold(low, high))
    if length >= 4:
        low = (word4(data + length - 4) + (word4(data) << 32)) ^ word8(secret + 8) ^ word8(secret + 16)
        low = (low ^ rotated(low, 49) ^ rotated(low, 24)) * MIX_2
        low = (low ^ ((low >> 35) + length)) * MIX_2
        return low ^ low >> 28
    if length:
        low = <uint64_t> (<unsigned char> data[0]) << 16 | <uint64_t> (<unsigned char> data[length >> 1]) << 24
        low |= <uint64_t> (<unsigned char> data[length - 1]) | <uint64_t> length << 8
        return avalanche_short(low ^ word4(secret) ^ word4(secret + 4))
    return avalanche_short(word8(secret + 56) ^ word8(secret + 64))


cdef uint64_t up_to_128(const char* data, size_t length) noexcept nogil:
    """From both ends to the middle."""
    cdef uint64_t sum = length * PRIME64_1
    cdef int pair = <int> ((length - 1) // 32)
    while pair >= 0:
        sum += mix(data + 16 * pair, secret + 32 * pair)
        sum += mix(data + length - 16 * (pair + 1), secret + 32 * pair + 16)
        pair -= 1
    return avalanche(sum)


cdef uint64_t up_to_240(const char* data, size_t length) noexcept nogil:
    cdef uint64_t sum = length * PRIME64_1
    cdef int piece
    for piece in range(8):
        sum += mix(data + 16 * piece, secret + 16 * piece)
    sum = avalanche(sum)
    for piece in range(8, <int> (length // 16)):
        sum += mix(data + 16 * piece, secret + 16 * (piece - 8) + 3)
    return avalanche(sum + mix(data + length - 16, secret + 119))


cdef inline void gather(uint64_t* lanes, const char* stripe, const char* key) noexcept nogil:
    cdef uint64_t value, keyed
    cdef int lane
    for lane in range(8):
        value = word8(stripe + 8 * lane)
        keyed = value ^ word8(key + 8 * lane)
        lanes[lane ^ 1] += value
        lanes[lane] += <uint64_t> (<uint32_t> keyed) * (keyed >> 32)


cdef inline void scramble(uint64_t* lanes) noexcept nogil:
    cdef int lane
    for lane in range(8):
        lanes[lane] = (lanes[lane] ^ lanes[lane] >> 47 ^ word8(secret + SECRET - STRIPE + 8 * lane)) * PRIME32_1


cdef uint64_t by_lanes(const char* data, size_t length) noexcept nogil:
    cdef uint64_t[8] lanes
    cdef uint64_t sum = length * PRIME64_1
    cdef size_t stripes = (length - 1) // STRIPE
    cdef size_t stripe
    cdef int pair
    lanes[0] = PRIME32_3
    lanes[1] = PRIME64_1
    lanes[2] = PRIME64_2
    lanes[3] = PRIME64_3
    lanes[4] = PRIME64_4
    lanes[5] = PRIME32_2
    lanes[6] = PRIME64_5
    lanes[7] = PRIME32_1
    for stripe in range(stripes):
        gather(lanes, data + STRIPE * stripe, secret + 8 * (stripe % STRIPES))
        if stripe % STRIPES == STRIPES - 1:
            scramble(lanes)
    gather(lanes, data + length - STRIPE, secret + SECRET - STRIPE - 7)
    for pair in range(4):
        sum += store_fold(lanes[2 * pair] ^ word8(secret + 11 + 16 * pair),
                          lanes[2 * pair + 1] ^ word8(secret + 19 + 16 * pair))
    return avalanche(sum)


cdef uint64_t xxh3(const char* data, size_t length) noexcept nogil:
    if length <= 16:
        return up_to_16(data, length)
    if length <= 128:
        return up_to_128(data, length)
    if length <= MIDDLE_MOST:
        return up_to_240(data, length)
    return by_lanes(data, length)
