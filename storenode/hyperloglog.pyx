# cython: language_level=3, boundscheck=False, wraparound=False, cdivision=True, initializedcheck=False
"""HyperLogLog. See hyperloglog.pxd.

A sparse string is changed by unpacking it into one byte a register, and packing it again: rarely, because most elements
change nothing, and at most a few hundred times in a key's life. Dense registers are changed in place.
"""

from libc.math cimport INFINITY, llround, sqrt
from libc.stdint cimport uint8_t, uint64_t
from libc.string cimport memcmp, memcpy, memset

from storenode.answer cimport answer_error, answer_number, answer_ok
from storenode.changes cimport EVENT_PFADD, key_changed
from storenode.entry cimport entry_value
from storenode.keyspace cimport (
    ABSENT, MISTYPED, PRESENT, key_read_as, key_write_as, value_resize, value_set,
)
from storenode.types cimport RAW, STRING, Call, Place, Slice

cdef enum:
    REGISTERS = 1 << 14
    INDEX_BITS = 14
    HASH_BITS = 50             # those that are left of the hash
    HEADER = 16                # "HYLL", encoding, three unused, the cached cardinality
    DENSE = 0
    SPARSE = 1
    DENSE_BYTES = HEADER + REGISTERS * 6 // 8
    SPARSE_MOST = 3000         # bytes: Redis's hll-sparse-max-bytes
    SPARSE_VALUE_MOST = 32     # what a sparse run can hold



cdef uint64_t murmur(const char* data, size_t length) noexcept nogil:
    """MurmurHash64A with Redis's seed: the same elements must meet the same registers."""
    cdef uint64_t m = 0xC6A4A7935BD1E995
    cdef uint64_t h = <uint64_t> 0xADC83B19 ^ (<uint64_t> length * m)
    cdef uint64_t k
    cdef size_t left = length
    while left >= 8:
        memcpy(&k, data, 8)
        k *= m
        k ^= k >> 47
        k *= m
        h ^= k
        h *= m
        data += 8
        left -= 8
    if left:
        k = 0
        memcpy(&k, data, left)
        h ^= k
        h *= m
    h ^= h >> 47
    h *= m
    return h ^ (h >> 47)


cdef int pattern(const Slice* element, int* index) noexcept nogil:
    """The register of an element and the value that it wants there: 1 … 51."""
    cdef uint64_t hashed = murmur(element.data, element.length)
    cdef int count = 1
    index[0] = <int> (hashed & (REGISTERS - 1))
    hashed = (hashed >> INDEX_BITS) | (<uint64_t> 1 << HASH_BITS)
    while not hashed & 1:
        hashed >>= 1
        count += 1
    return count


cdef inline uint8_t dense_get(const uint8_t* registers, int index) noexcept nogil:
    cdef int byte = index * 6 // 8
    cdef int shift = index * 6 & 7
    cdef int pair = registers[byte] | (registers[byte + 1] << 8 if shift > 2 else 0)
    return (pair >> shift) & 63


cdef inline void dense_set(uint8_t* registers, int index, int value) noexcept nogil:
    cdef int byte = index * 6 // 8
    cdef int shift = index * 6 & 7
    registers[byte] = (registers[byte] & ~(63 << shift)) | (value << shift & 255)
    if shift > 2:
        registers[byte + 1] = (registers[byte + 1] & ~(63 >> (8 - shift))) | (value >> (8 - shift))


cdef bint unpack(const Slice* text, uint8_t* registers) noexcept nogil:
    """Merge a string's registers into an array of one byte each: the greater one stays. False: it is corrupt."""
    cdef const uint8_t* at = <const uint8_t*> text.data + HEADER
    cdef const uint8_t* end = <const uint8_t*> text.data + text.length
    cdef int index = 0
    cdef int run, value
    if text.data[4] == DENSE:
        for index in range(REGISTERS):
            value = dense_get(at, index)
            if value > registers[index]:
                registers[index] = <uint8_t> value
        return True
    while at < end:
        value = 0
        if at[0] & 0x80:
            value = (at[0] >> 2 & 31) + 1
            run = (at[0] & 3) + 1
        elif at[0] & 0x40:
            if at + 1 == end:
                return False
            run = ((at[0] & 63) << 8 | at[1]) + 1
            at += 1
        else:
            run = (at[0] & 63) + 1
        at += 1
        if index + run > REGISTERS:
            return False
        while run:
            if value > registers[index]:
                registers[index] = <uint8_t> value
            index += 1
            run -= 1
    return index == REGISTERS


cdef size_t pack_sparse(const uint8_t* registers, uint8_t* target) noexcept nogil:
    """Write registers as runs into SPARSE_MOST bytes, header included; 0: they do not fit, or one is too large."""
    cdef size_t length = HEADER
    cdef int index = 0
    cdef int run
    cdef int value
    while index < REGISTERS:
        value = registers[index]
        run = 1
        while index + run < REGISTERS and registers[index + run] == value:
            run += 1
        index += run
        if value > SPARSE_VALUE_MOST:
            return 0
        while run:
            if length + 2 > SPARSE_MOST:
                return 0
            if value:
                target[length] = 0x80 | (value - 1) << 2 | ((run if run < 4 else 4) - 1)
                run -= run if run < 4 else 4
            elif run > 64:
                target[length] = 0x40 | (run - 1) >> 8
                target[length + 1] = (run - 1) & 255
                length += 1
                run = 0
            else:
                target[length] = run - 1
                run = 0
            length += 1
    return length


cdef void write_header(char* at, int encoding) noexcept nogil:
    memset(at, 0, HEADER)
    memcpy(at, b"HYLL", 4)
    at[4] = encoding


cdef void store(Call* call, const Slice* key, Place* place, const uint8_t* registers, bint dense) noexcept nogil:
    """Make the key's value a string of these registers, as runs if it may be and is short enough."""
    cdef char text[DENSE_BYTES]
    cdef Slice value
    cdef int index
    value.data = text
    value.length = 0 if dense else pack_sparse(registers, <uint8_t*> text)
    if value.length:
        write_header(text, SPARSE)
    else:
        memset(text, 0, DENSE_BYTES)
        write_header(text, DENSE)
        for index in range(REGISTERS):
            dense_set(<uint8_t*> text + HEADER, index, registers[index])
        value.length = DENSE_BYTES
    if place.entry != NULL:
        memcpy(text + 5, entry_value(place.entry) + 5, HEADER - 5)
    text[15] |= 0x80
    value_set(call.database, key, place, &value, RAW)


cdef bint is_hyperloglog(Call* call, const Place* place, Slice* text) noexcept nogil:
    """Does a string look like one? Answers if not."""
    text.data = entry_value(place.entry)
    text.length = place.entry.value_length
    if (text.length >= HEADER and memcmp(text.data, b"HYLL", 4) == 0 and <uint8_t> text.data[4] <= SPARSE
            and (text.data[4] == SPARSE or text.length == DENSE_BYTES)):
        return True
    answer_error(call, b"WRONGTYPE Key is not a valid HyperLogLog string value.")
    return False


cdef bint load(Call* call, const Slice* text, uint8_t* registers) noexcept nogil:
    if unpack(text, registers):
        return True
    answer_error(call, b"INVALIDOBJ Corrupted HLL object detected")
    return False


cdef double sigma(double x) noexcept nogil:
    cdef double y = 1
    cdef double z = x
    cdef double before
    if x == 1:
        return INFINITY
    while True:
        x *= x
        before = z
        z += x * y
        y += y
        if before == z:
            return z


cdef double tau(double x) noexcept nogil:
    cdef double y = 1
    cdef double z = 1 - x
    cdef double before
    if x == 0 or x == 1:
        return 0
    while True:
        x = sqrt(x)
        before = z
        y *= 0.5
        z -= (1 - x) * (1 - x) * y
        if before == z:
            return z / 3


cdef long long estimate(const uint8_t* registers) noexcept nogil:
    cdef int[64] histogram
    cdef double m = REGISTERS
    cdef double z
    cdef int index
    memset(histogram, 0, sizeof(histogram))
    for index in range(REGISTERS):
        histogram[registers[index]] += 1
    z = m * tau((m - histogram[HASH_BITS + 1]) / m)
    index = HASH_BITS
    while index:
        z += histogram[index]
        z *= 0.5
        index -= 1
    z += m * sigma(histogram[0] / m)
    return llround(0.721347520444481703680 * m * m / z)


cdef void command_pfadd(Call* call) noexcept nogil:
    """PFADD key element …: 1 if the estimate may have changed."""
    cdef uint8_t registers[REGISTERS]
    cdef Place place
    cdef Slice text
    cdef uint8_t* dense
    cdef bint changed = False
    cdef int index, value, at
    cdef int lookup = key_write_as(call, &call.argv[1], STRING, &place)
    if lookup == MISTYPED or (lookup == PRESENT and not is_hyperloglog(call, &place, &text)):
        return
    if lookup == PRESENT:
        place.entry.encoding = RAW
    if lookup == PRESENT and text.data[4] == DENSE:
        dense = <uint8_t*> text.data + HEADER
        for at in range(2, call.argc):
            value = pattern(&call.argv[at], &index)
            if value > dense_get(dense, index):
                dense_set(dense, index, value)
                changed = True
        if changed:
            (<uint8_t*> text.data)[15] |= 0x80
    else:
        memset(registers, 0, REGISTERS)
        if lookup == PRESENT and not load(call, &text, registers):
            return
        for at in range(2, call.argc):
            value = pattern(&call.argv[at], &index)
            if value > registers[index]:
                registers[index] = <uint8_t> value
                changed = True
        if changed or lookup == ABSENT:
            store(call, &call.argv[1], &place, registers, False)
            changed = True
    if changed:
        key_changed(call.database, &call.argv[1], EVENT_PFADD)
    answer_number(call, changed)


cdef void count_one(Call* call) noexcept nogil:
    """The estimate of one key is kept in its header until the next change."""
    cdef uint8_t registers[REGISTERS]
    cdef Place place
    cdef Slice text
    cdef uint64_t count
    cdef int lookup = key_read_as(call, &call.argv[1], STRING, &place)
    if lookup == ABSENT:
        answer_number(call, 0)
    if lookup != PRESENT or not is_hyperloglog(call, &place, &text):
        return
    place.entry.encoding = RAW
    if not <uint8_t> text.data[15] & 0x80:
        memcpy(&count, text.data + 8, 8)
    else:
        memset(registers, 0, REGISTERS)
        if not load(call, &text, registers):
            return
        count = <uint64_t> estimate(registers)
        memcpy(<char*> text.data + 8, &count, 8)
    answer_number(call, <long long> count)


cdef bint merge_keys(Call* call, int first, uint8_t* registers, bint* dense) noexcept nogil:
    """Merge the keys from argument `first` on; False: answered."""
    cdef Place place
    cdef Slice text
    cdef int index, lookup
    for index in range(first, call.argc):
        lookup = key_read_as(call, &call.argv[index], STRING, &place)
        if lookup == MISTYPED:
            return False
        if lookup == PRESENT:
            if not is_hyperloglog(call, &place, &text) or not load(call, &text, registers):
                return False
            dense[0] |= text.data[4] == DENSE
    return True


cdef void command_pfcount(Call* call) noexcept nogil:
    cdef uint8_t registers[REGISTERS]
    cdef bint dense = False
    if call.argc == 2:
        count_one(call)
        return
    memset(registers, 0, REGISTERS)
    if merge_keys(call, 1, registers, &dense):
        answer_number(call, estimate(registers))


cdef void command_pfmerge(Call* call) noexcept nogil:
    """PFMERGE target key …: the target is one of the sources, too."""
    cdef uint8_t registers[REGISTERS]
    cdef Place place
    cdef bint dense = False
    memset(registers, 0, REGISTERS)
    if merge_keys(call, 1, registers, &dense):
        key_write_as(call, &call.argv[1], STRING, &place)
        store(call, &call.argv[1], &place, registers, dense)
        key_changed(call.database, &call.argv[1], EVENT_PFADD)
        answer_ok(call)
