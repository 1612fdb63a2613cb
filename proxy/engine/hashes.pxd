# cython: language_level=3, boundscheck=False, wraparound=False, cdivision=True, initializedcheck=False
# The twelve key hashes of twemproxy 0.5.0: bytes of a key in, 32 bits out.
#
# Owns nothing but constant tables.  In a request's life: right after framing has found the key, and once a request,
# by way of ring_hash(); so the two hashes that pools really use, murmur and fnv1a_64, are inlined here.
#
# Keys were `char*` in the original and its x86 builds sign-extend a byte before mixing it in.  Where that shows (bytes
# from 0x80 up), the cast to `signed char` is written out, so that a key has the same home on every architecture.


cdef enum HashKind:  # the order of HASHES in hashes.pyx
    HASH_ONE_AT_A_TIME = 0
    HASH_MD5 = 1
    HASH_CRC16 = 2
    HASH_CRC32 = 3
    HASH_CRC32A = 4
    HASH_FNV1_64 = 5
    HASH_FNV1A_64 = 6
    HASH_FNV1_32 = 7
    HASH_FNV1A_32 = 8
    HASH_HSIEH = 9
    HASH_MURMUR = 10
    HASH_JENKINS = 11


cdef unsigned int one_at_a_time(const unsigned char* key, size_t length) noexcept nogil
cdef unsigned int md5(const unsigned char* key, size_t length) noexcept nogil
cdef unsigned int crc16(const unsigned char* key, size_t length) noexcept nogil
cdef unsigned int crc32(const unsigned char* key, size_t length) noexcept nogil
cdef unsigned int crc32a(const unsigned char* key, size_t length) noexcept nogil
cdef unsigned int fnv1_64(const unsigned char* key, size_t length) noexcept nogil
cdef unsigned int fnv1_32(const unsigned char* key, size_t length) noexcept nogil
cdef unsigned int fnv1a_32(const unsigned char* key, size_t length) noexcept nogil
cdef unsigned int hsieh(const unsigned char* key, size_t length) noexcept nogil
cdef unsigned int jenkins(const unsigned char* key, size_t length) noexcept nogil

# The MD5 digest as its four little-endian words, which are four ring points of a ketama server.
cdef void md5_words(const unsigned char* message, size_t length, unsigned int* words) noexcept nogil

# The dispatcher's second half: the kinds that are not inlined.
cdef unsigned int hash_key_rare(int kind, const unsigned char* key, size_t length) noexcept nogil


cdef inline unsigned int load_le32(const unsigned char* at) noexcept nogil:
    # Compilers turn the four shifts into one unaligned load on little-endian machines; elsewhere they stay correct.
    return at[0] | (<unsigned int>at[1] << 8) | (<unsigned int>at[2] << 16) | (<unsigned int>at[3] << 24)


cdef inline unsigned int fnv1a_64(const unsigned char* key, size_t length) noexcept nogil:
    # The low half of 64-bit FNV-1a; the high half never flows down, so 32 bits are enough.  Each byte waits for the
    # multiplication of the one before it (about 4 cycles), which is why murmur is quicker on all but the shortest keys.
    cdef unsigned int h = 0x84222325U
    cdef size_t i
    for i in range(length):
        h = (h ^ <unsigned int><signed char>key[i]) * 0x1b3U
    return h


cdef inline unsigned int murmur(const unsigned char* key, size_t length) noexcept nogil:
    # MurmurHash2, seeded from the length.
    cdef unsigned int m = 0x5bd1e995U
    cdef unsigned int h = (0xdeadbeefU * <unsigned int>length) ^ <unsigned int>length
    cdef unsigned int k
    while length >= 4:
        k = load_le32(key) * m
        k = (k ^ (k >> 24)) * m
        h = (h * m) ^ k
        key += 4
        length -= 4
    if length > 0:
        if length == 3:
            h ^= <unsigned int>key[2] << 16
        if length >= 2:
            h ^= <unsigned int>key[1] << 8
        h = (h ^ key[0]) * m
    h = (h ^ (h >> 13)) * m
    return h ^ (h >> 15)


cdef inline unsigned int hash_key(int kind, const unsigned char* key, size_t length) noexcept nogil:
    if kind == HASH_MURMUR:
        return murmur(key, length)
    if kind == HASH_FNV1A_64:
        return fnv1a_64(key, length)
    return hash_key_rare(kind, key, length)
