# cython: language_level=3, boundscheck=False, wraparound=False, cdivision=True, initializedcheck=False
"""Rdb. See rdb.pxd. Whatever is read comes from a client: a length is checked before a byte behind it is touched."""

from libc.stdint cimport int8_t, int16_t, int32_t, int64_t, uint8_t, uint64_t
from libc.stdlib cimport malloc, strtod
from libc.string cimport memcpy

from proxy.wire.resp cimport read_number, write_number
from storenode.collection cimport Elements, collection_count, collection_put, elements_begin, elements_next, set_add
from storenode.deque cimport Item, deque_end, deque_new, deque_of, deque_push, deque_step
from storenode.entry cimport entry_name, entry_slice
from storenode.keyspace cimport entry_build, entry_discard, value_encoding, value_point, value_splice
from storenode.sortedset cimport score_of, zset_put
from storenode.text cimport Text, text_room
from storenode.types cimport DEQUE, HASH, INTS, LIST, PACK, RAW, SET, STRING, ZSET, Entry, Node, Place, Slice

cdef enum RdbType:
    RDB_STRING = 0
    RDB_LIST = 1
    RDB_SET = 2
    RDB_ZSET = 3               # scores as text
    RDB_HASH = 4
    RDB_ZSET_2 = 5             # scores as doubles
    RDB_INTSET = 11
    RDB_HASH_LISTPACK = 16
    RDB_ZSET_LISTPACK = 17
    RDB_QUICKLIST_2 = 18
    RDB_SET_LISTPACK = 20

cdef enum:
    ENCODED = 0xC0             # the two highest bits of a length: a special string follows
    STRING_MOST = 512 << 20
    PLAIN_NODE = 1             # of a quicklist: one large item
    PACKED_NODE = 2            # a listpack

# -- writing -----------------------------------------------------------------------------------------------------------


cdef inline void put_bytes(Text* text, const void* data, size_t length) noexcept nogil:
    memcpy(text_room(text, length), data, length)
    text.length += length


cdef inline void put_byte(Text* text, int byte) noexcept nogil:
    text_room(text, 1)[0] = <char> byte
    text.length += 1


cdef void put_length(Text* text, uint64_t length) noexcept nogil:
    cdef int shift
    if length < 64:
        put_byte(text, <int> length)
    elif length < 1 << 14:
        put_byte(text, 0x40 | <int> (length >> 8))
        put_byte(text, <int> (length & 255))
    else:
        put_byte(text, 0x80 if length >> 32 == 0 else 0x81)
        shift = 24 if length >> 32 == 0 else 56
        while shift >= 0:
            put_byte(text, <int> (length >> shift & 255))
            shift -= 8


cdef void put_string(Text* text, const Slice* value) noexcept nogil:
    """Integers of up to 32 bits in short; nothing is compressed."""
    cdef long long number
    cdef int width
    if value.length <= 11 and read_number(value.data, value.length, &number) and -2147483648 <= number <= 2147483647:
        width = 0 if -128 <= number <= 127 else 1 if -32768 <= number <= 32767 else 2
        put_byte(text, ENCODED | width)
        put_bytes(text, &number, 1 << width)
        return
    put_length(text, value.length)
    put_bytes(text, value.data, value.length)


cdef inline void drain_full(Text* text, Drain drain, void* context) noexcept nogil:
    if drain != NULL and text.length >= DRAIN_FROM:
        drain(context, text)


cdef void put_elements(Text* text, const Entry* entry, Drain drain, void* context) noexcept nogil:
    cdef Elements elements
    cdef double score
    put_length(text, collection_count(entry))
    elements_begin(entry, &elements)
    while elements_next(&elements):
        put_string(text, &elements.name)
        if entry.type == HASH:
            put_string(text, &elements.payload)
        elif entry.type == ZSET:
            score = score_of(&elements.payload)
            put_bytes(text, &score, sizeof(score))
        drain_full(text, drain, context)


cdef void put_list(Text* text, const Entry* entry, Drain drain, void* context) noexcept nogil:
    cdef Item item
    cdef bint more = deque_end(deque_of(entry), True, &item)
    put_length(text, collection_count(entry))
    while more:
        put_string(text, &item.value)
        drain_full(text, drain, context)
        more = deque_step(&item, False)


cdef void put_type(Text* text, const Entry* entry) noexcept nogil:
    if entry.type == STRING:
        put_byte(text, RDB_STRING)
    elif entry.type == LIST:
        put_byte(text, RDB_LIST)
    else:
        put_byte(text, RDB_SET if entry.type == SET else RDB_HASH if entry.type == HASH else RDB_ZSET_2)


cdef void put_value(Text* text, const Entry* entry, Drain drain, void* context) noexcept nogil:
    cdef Slice value
    if entry.type == STRING:
        value = entry_slice(entry)
        put_string(text, &value)
    elif entry.type == LIST:
        put_list(text, entry, drain, context)
    else:
        put_elements(text, entry, drain, context)


cdef void rdb_write(Text* text, const Entry* entry) noexcept nogil:
    """Append an entry's type and value."""
    put_type(text, entry)
    put_value(text, entry, NULL, NULL)


cdef void rdb_write_key(Text* text, const Entry* entry, Drain drain, void* context) noexcept nogil:
    """Append an entry as a snapshot has it: type, key, value. A large value is drained on the way."""
    cdef Slice name = entry_name(entry)
    put_type(text, entry)
    put_string(text, &name)
    put_value(text, entry, drain, context)


cdef void rdb_write_length(Text* text, uint64_t length) noexcept nogil:
    put_length(text, length)


cdef void rdb_write_string(Text* text, const char* data, size_t length) noexcept nogil:
    cdef Slice value
    value.data = data
    value.length = length
    put_string(text, &value)


# -- reading -----------------------------------------------------------------------------------------------------------


cdef inline size_t left_of(const Reader* reader) noexcept nogil:
    return reader.end - reader.at


cdef bint there(Reader* reader, uint64_t bytes) noexcept nogil:
    """Are so many bytes there? If not, how many are missing is noted: more of them may be on their way."""
    cdef size_t left = left_of(reader)
    if bytes <= left:
        return True
    if bytes <= STRING_MOST:
        reader.lack = bytes - left
    return False


cdef inline uint64_t little(const uint8_t* at, int bytes) noexcept nogil:
    cdef uint64_t value = 0
    memcpy(&value, at, bytes)
    return value


cdef bint take_length(Reader* reader, uint64_t* length, bint* special) noexcept nogil:
    """Read a length; `special`: it is the number of an encoding instead."""
    cdef int kind, bytes
    if not there(reader, 1):
        return False
    kind = reader.at[0] >> 6
    special[0] = kind == 3
    length[0] = reader.at[0] & 63
    if kind == 0 or kind == 3:
        bytes = 0
    elif kind == 1:
        bytes = 1
    elif reader.at[0] == 0x80 or reader.at[0] == 0x81:
        bytes = 4 if reader.at[0] == 0x80 else 8
        length[0] = 0
    else:
        return False
    if not there(reader, 1 + bytes):
        return False
    reader.at += 1
    while bytes:
        length[0] = length[0] << 8 | reader.at[0]
        reader.at += 1
        bytes -= 1
    return True


cdef bint expand(const uint8_t* at, size_t length, uint8_t* target, size_t size) noexcept nogil:
    """LZF: literal runs and copies of what is up to 8 KiB behind. False: it is broken."""
    cdef const uint8_t* end = at + length
    cdef size_t done = 0
    cdef size_t run, distance
    while at < end:
        run = at[0]
        at += 1
        if run < 32:
            run += 1
            if <size_t> (end - at) < run or size - done < run:
                return False
            memcpy(target + done, at, run)
            at += run
            done += run
            continue
        distance = (run & 31) << 8
        run >>= 5
        if run == 7:
            if at == end:
                return False
            run += at[0]
            at += 1
        if at == end:
            return False
        distance += at[0] + 1
        at += 1
        run += 2
        if distance > done or size - done < run:
            return False
        while run:
            target[done] = target[done - distance]
            done += 1
            run -= 1
    return done == size


cdef inline void show_number(Loose* loose, int64_t number) noexcept nogil:
    loose.text.data = loose.digits
    loose.text.length = write_number(loose.digits, number) - 2


cdef bint take_packed(Reader* reader, Loose* loose) noexcept nogil:
    cdef uint64_t length, size
    cdef bint special
    if (not take_length(reader, &length, &special) or special or not take_length(reader, &size, &special) or special
            or size > STRING_MOST or size > length * 300 + 16 or not there(reader, length)):
        return False
    loose.block = <char*> malloc(size + 1)
    if loose.block == NULL or not expand(reader.at, length, <uint8_t*> loose.block, size):
        drop(loose)
        return False
    reader.at += length
    loose.text.data = loose.block
    loose.text.length = size
    return True


cdef bint take_string(Reader* reader, Loose* loose) noexcept nogil:
    """Read a string; drop() it afterwards."""
    cdef uint64_t length
    cdef bint special
    loose.block = NULL
    if not take_length(reader, &length, &special):
        return False
    if special and length == 3:
        return take_packed(reader, loose)
    if special:
        if length > 2 or not there(reader, 1 << length):
            return False
        if length == 0:
            show_number(loose, <int8_t> reader.at[0])
        elif length == 1:
            show_number(loose, <int16_t> little(reader.at, 2))
        else:
            show_number(loose, <int32_t> little(reader.at, 4))
        reader.at += 1 << length
        return True
    if not there(reader, length):
        return False
    loose.text.data = <const char*> reader.at
    loose.text.length = length
    reader.at += length
    return True


cdef bint take_score(Reader* reader, bint binary, double* score) noexcept nogil:
    cdef char text[256]
    cdef char* end
    cdef size_t length
    if binary:
        if not there(reader, sizeof(double)):
            return False
        memcpy(score, reader.at, sizeof(double))
        reader.at += sizeof(double)
        return score[0] == score[0]
    if not there(reader, 1):
        return False
    length = reader.at[0]
    if not there(reader, 1 + (length if length < 253 else 0)):
        return False
    reader.at += 1
    if length >= 253:
        score[0] = 1e308 * 10 if length == 254 else -1e308 * 10
        return length != 253
    memcpy(text, reader.at, length)
    text[length] = 0
    reader.at += length
    score[0] = strtod(text, &end)
    return end == text + length and score[0] == score[0]


# -- listpacks ---------------------------------------------------------------------------------------------------------


cdef bint open_listpack(const Slice* text, Reader* reader) noexcept nogil:
    """Six bytes of header, the elements, 255."""
    if text.length < 7 or little(<const uint8_t*> text.data, 4) != text.length or \
            <uint8_t> text.data[text.length - 1] != 255:
        return False
    reader.at = <const uint8_t*> text.data + 6
    reader.end = <const uint8_t*> text.data + text.length - 1
    return reader.at < reader.end


cdef bint take_packed_element(Reader* reader, Loose* loose) noexcept nogil:
    """The next element of a listpack; its text borrows from the listpack or lies in `digits`."""
    cdef const uint8_t* at = reader.at
    cdef size_t room = left_of(reader)
    cdef size_t head = 1
    cdef size_t length = 0
    cdef size_t size, back
    cdef int64_t number = 0
    cdef bint text = False
    loose.block = NULL
    if room == 0:
        return False
    if at[0] < 0x80:
        number = at[0]
    elif at[0] < 0xC0:
        text = True
        length = at[0] & 63
    elif at[0] < 0xE0:
        head = 2
        if room >= 2:
            number = (at[0] & 31) << 8 | at[1]
            number -= 8192 if number >= 4096 else 0
    elif at[0] < 0xF0:
        text = True
        head = 2
        if room >= 2:
            length = (at[0] & 15) << 8 | at[1]
    elif at[0] == 0xF0:
        text = True
        head = 5
        if room >= 5:
            length = little(at + 1, 4)
    elif at[0] <= 0xF4:
        size = 8 if at[0] == 0xF4 else at[0] - 0xEF
        head = 1 + size
        if room >= head:
            number = <int64_t> (little(at + 1, <int> size) << (64 - 8 * size)) >> (64 - 8 * size)
    else:
        return False
    if head + length > room:
        return False
    if text:
        loose.text.data = <const char*> at + head
        loose.text.length = length
    else:
        show_number(loose, number)
    size = head + length
    back = 1 if size < 128 else 2 if size < 16384 else 3 if size < 2097152 else 4 if size < 268435456 else 5
    if size + back > room:
        return False
    reader.at += size + back
    return True


cdef bint read_text_score(const Slice* text, double* score) noexcept nogil:
    cdef char copy[256]
    cdef char* end
    if text.length == 0 or text.length >= sizeof(copy):
        return False
    memcpy(copy, text.data, text.length)
    copy[text.length] = 0
    score[0] = strtod(copy, &end)
    return end == copy + text.length and score[0] == score[0]


cdef bint read_listpack(Node* node, Place* built, const Slice* text) noexcept nogil:
    """Add the elements of a listpack to what is being built."""
    cdef Reader reader
    cdef Loose one, other
    cdef double score
    if not open_listpack(text, &reader):
        return False
    while reader.at < reader.end:
        if not take_packed_element(&reader, &one):
            return False
        if built.entry.type == LIST:
            deque_push(deque_of(built.entry), &one.text, False)
        elif built.entry.type == SET:
            if not set_add(node, built, &one.text):
                return False
        else:
            if not take_packed_element(&reader, &other):
                return False
            if built.entry.type == HASH:
                if not collection_put(node, built, &one.text, &other.text):
                    return False
            elif not read_text_score(&other.text, &score) or not zset_put(node, built, &one.text, score):
                return False
    return True


cdef bint read_intset(Node* node, Place* built, const Slice* text) noexcept nogil:
    """Width, count, numbers, all in little endian."""
    cdef const uint8_t* at = <const uint8_t*> text.data
    cdef uint64_t width, count, index
    cdef Loose loose
    if text.length < 8:
        return False
    width = little(at, 4)
    count = little(at + 4, 4)
    if (width != 2 and width != 4 and width != 8) or count == 0 or text.length != 8 + width * count:
        return False
    at += 8
    for index in range(count):
        show_number(&loose, <int64_t> (little(at, <int> width) << (64 - 8 * width)) >> (64 - 8 * width))
        if not set_add(node, built, &loose.text):
            return False
        at += width
    return True


cdef bint read_node(Node* node, Place* built, Reader* reader) noexcept nogil:
    """One node of a quicklist: an item, or a listpack of them."""
    cdef Loose loose
    cdef uint64_t kind
    cdef bint special
    cdef bint good = True
    if not take_length(reader, &kind, &special) or special or not take_string(reader, &loose):
        return False
    if kind == PLAIN_NODE:
        deque_push(deque_of(built.entry), &loose.text, False)
    else:
        good = kind == PACKED_NODE and read_listpack(node, built, &loose.text)
    drop(&loose)
    return good


cdef bint read_element(Node* node, Place* built, Reader* reader, int kind) noexcept nogil:
    """One string with what belongs to it."""
    cdef Loose one, other
    cdef double score
    cdef bint good = True
    if not take_string(reader, &one):
        return False
    if kind == RDB_LIST:
        deque_push(deque_of(built.entry), &one.text, False)
    elif kind == RDB_SET:
        good = set_add(node, built, &one.text)
    elif kind == RDB_HASH:
        good = take_string(reader, &other)
        if good:
            good = collection_put(node, built, &one.text, &other.text)
            drop(&other)
    else:
        good = take_score(reader, kind == RDB_ZSET_2, &score) and zset_put(node, built, &one.text, score)
    drop(&one)
    return good


cdef bint read_whole(Node* node, Place* built, Reader* reader, int kind) noexcept nogil:
    """A value that is one string for Redis: a string, an intset, a listpack."""
    cdef Loose loose
    cdef bint good = True
    if not take_string(reader, &loose):
        return False
    if kind == RDB_STRING:
        built.entry.encoding = value_encoding(&loose.text)
        memcpy(value_splice(node, built, 0, 0, loose.text.length), loose.text.data, loose.text.length)
    elif kind == RDB_INTSET:
        good = read_intset(node, built, &loose.text)
    else:
        good = read_listpack(node, built, &loose.text)
    drop(&loose)
    return good


cdef bint rdb_begin(Node* node, RdbValue* value, int kind, const Slice* key) noexcept nogil:
    """Start an entry of the type `kind`; False: not one that is read here. Then rdb_go_on(), or entry_discard()."""
    value.kind = kind
    value.counted = False
    value.left = 1
    if kind == RDB_STRING:
        entry_build(node, key, &value.built, STRING, RAW)
    elif kind == RDB_LIST or kind == RDB_QUICKLIST_2:
        entry_build(node, key, &value.built, LIST, RAW)
        value_point(node, &value.built, DEQUE, deque_new(node))
    elif kind == RDB_SET or kind == RDB_INTSET or kind == RDB_SET_LISTPACK:
        entry_build(node, key, &value.built, SET, INTS)
    elif kind == RDB_HASH or kind == RDB_HASH_LISTPACK:
        entry_build(node, key, &value.built, HASH, PACK)
    elif kind == RDB_ZSET or kind == RDB_ZSET_2 or kind == RDB_ZSET_LISTPACK:
        entry_build(node, key, &value.built, ZSET, PACK)
    else:
        return False
    return True


cdef int rdb_go_on(Node* node, RdbValue* value, Reader* reader) noexcept nogil:
    """Add to an entry what the reader has of it, up to the end of the value or of the last element that is whole.

    Nothing is taken of an element that is cut off, and memory goes to what is there, never to what a count promises.
    """
    cdef const uint8_t* at
    cdef bint special
    cdef bint good = True
    reader.lack = 0
    if not value.counted and (value.kind == RDB_QUICKLIST_2 or RDB_LIST <= value.kind <= RDB_ZSET_2):
        at = reader.at
        if not take_length(reader, &value.left, &special):
            reader.at = at
            return VALUE_CUT if reader.lack else VALUE_BROKEN
        if special or value.left == 0:
            return VALUE_BROKEN
    value.counted = True
    while value.left:
        at = reader.at
        if value.kind == RDB_QUICKLIST_2:
            good = read_node(node, &value.built, reader)
        elif RDB_LIST <= value.kind <= RDB_ZSET_2:
            good = read_element(node, &value.built, reader, value.kind)
        else:
            good = read_whole(node, &value.built, reader, value.kind)
        if not good:
            reader.at = at
            return VALUE_CUT if reader.lack else VALUE_BROKEN
        value.left -= 1
    return VALUE_WHOLE if value.kind == RDB_STRING or collection_count(value.built.entry) else VALUE_BROKEN


cdef bint rdb_read(Node* node, const Slice* dump, const Slice* key, Place* built) noexcept nogil:
    """Build an entry from a type and a value, which must be all there is; False: broken, or of a type not known."""
    cdef RdbValue value
    cdef Reader reader
    if dump.length == 0:
        return False
    reader.at = <const uint8_t*> dump.data + 1
    reader.end = <const uint8_t*> dump.data + dump.length
    if not rdb_begin(node, &value, <uint8_t> dump.data[0], key):
        return False
    if rdb_go_on(node, &value, &reader) == VALUE_WHOLE and reader.at == reader.end:
        built[0] = value.built
        return True
    entry_discard(node, &value.built)
    return False
