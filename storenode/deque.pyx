# cython: language_level=3, boundscheck=False, wraparound=False, cdivision=True, initializedcheck=False
"""Deque: pieces, items and gaps. See deque.pxd."""

from libc.stdint cimport UINT32_MAX, int64_t, uint32_t, uint64_t
from libc.string cimport memcpy, memmove, memset

from storenode.heap cimport heap_bytes, heap_free, heap_new
from storenode.types cimport Deque, Node, Piece, Slice

cdef enum:
    ROOM_LEAST = 40            # of a list's first piece: 72 bytes with its header, as malloc has them
    ROOM_NEXT = 512            # of a further one
    SHRINK_FROM = 512          # a piece of more room gives half of it back when it is less than a quarter full


cdef inline char* bytes_of(const Piece* piece) noexcept nogil:
    return <char*> (piece + 1)


cdef inline uint32_t length_size(size_t length) noexcept nogil:
    cdef uint32_t size = 1
    while length >= 128:
        length >>= 7
        size += 1
    return size


cdef inline void write_item(char* at, const Slice* value) noexcept nogil:
    cdef size_t length = value.length
    cdef char* end
    while length >= 128:
        at[0] = <char> (length | 128)
        at += 1
        length >>= 7
    at[0] = <char> length
    at += 1
    memcpy(at, value.data, value.length)
    end = at + value.length + length_size(value.length) - 1
    length = value.length
    while length >= 128:
        end[0] = <char> (length | 128)
        end -= 1
        length >>= 7
    end[0] = <char> length


cdef inline void load(Piece* piece, uint32_t at, Item* item) noexcept nogil:
    """The item that begins at `at`."""
    cdef const unsigned char* byte = <const unsigned char*> bytes_of(piece) + at
    cdef size_t length = byte[0] & 127
    cdef uint32_t size = 1
    while byte[0] & 128:
        byte += 1
        length |= <size_t> (byte[0] & 127) << (7 * size)
        size += 1
    item.piece = piece
    item.at = at
    item.size = <uint32_t> length + 2 * size
    item.value.data = <const char*> byte + 1
    item.value.length = length


cdef inline void load_before(Piece* piece, uint32_t end, Item* item) noexcept nogil:
    """The item that ends at `end`."""
    cdef const unsigned char* byte = <const unsigned char*> bytes_of(piece) + end - 1
    cdef size_t length = byte[0] & 127
    cdef uint32_t size = 1
    while byte[0] & 128:
        byte -= 1
        length |= <size_t> (byte[0] & 127) << (7 * size)
        size += 1
    item.piece = piece
    item.size = <uint32_t> length + 2 * size
    item.at = end - item.size
    item.value.data = <const char*> byte - length
    item.value.length = length


cdef inline Piece* last_piece(const Deque* deque) noexcept nogil:
    return deque.first.previous if deque.first != NULL else NULL


cdef inline Piece* piece_before(const Piece* piece) noexcept nogil:
    """NULL: it is the first one, whose `previous` is the last one."""
    return piece.previous if piece.previous.next != NULL else NULL


cdef Deque* deque_new(Node* node) noexcept nogil:
    cdef Deque* deque = <Deque*> heap_new(node, sizeof(Deque))
    memset(deque, 0, sizeof(Deque))
    deque.node = node
    return deque


cdef bint deque_drain(Deque* deque, size_t* budget) noexcept nogil:
    """Free pieces until the budget of items is used up; True: none is left."""
    cdef Piece* piece
    while deque.first != NULL:
        if budget[0] == 0:
            return False
        piece = deque.first
        deque.first = piece.next
        budget[0] -= piece.count if piece.count < budget[0] else budget[0]
        heap_free(deque.node, piece)
    return True


cdef Piece* new_piece(Deque* deque, uint32_t room) noexcept nogil:
    """A piece of at least so much room: what malloc rounds up to is used, too."""
    cdef Piece* piece = <Piece*> heap_new(deque.node, sizeof(Piece) + room)
    piece.room = <uint32_t> (heap_bytes(piece) - sizeof(size_t) - sizeof(Piece))
    return piece


cdef Piece* add_piece(Deque* deque, Piece* before, uint32_t room, bint gap_in_front) noexcept nogil:
    """A new, empty piece behind `before`, or in front of all where that is NULL."""
    cdef Piece* piece = new_piece(deque, room)
    piece.count = 0
    piece.head = piece.room if gap_in_front else 0
    piece.tail = piece.head
    piece.previous = before if before != NULL else last_piece(deque)
    piece.next = before.next if before != NULL else deque.first
    attach(deque, piece, before == NULL)
    return piece


cdef inline void attach(Deque* deque, Piece* piece, bint first) noexcept nogil:
    """Make the neighbours, or the ends, point to a piece that points to them; `first`: it is the first one."""
    if first:
        deque.first = piece
    else:
        piece.previous.next = piece
    if piece.next != NULL:
        piece.next.previous = piece
    else:
        deque.first.previous = piece


cdef void drop_piece(Deque* deque, Piece* piece) noexcept nogil:
    if piece == deque.first:
        deque.first = piece.next
    else:
        piece.previous.next = piece.next
    if piece.next != NULL:
        piece.next.previous = piece.previous
    elif deque.first != NULL:
        deque.first.previous = piece.previous
    heap_free(deque.node, piece)


cdef Piece* relocate(Deque* deque, Piece* old, uint32_t room, uint32_t at, uint32_t size, uint32_t lead) noexcept nogil:
    """Copy a piece into one of another room, `lead` bytes from its start, opening `size` bytes at `at`."""
    cdef Piece* piece = new_piece(deque, room)
    piece.next = old.next
    piece.previous = old.previous
    piece.count = old.count
    piece.head = lead
    piece.tail = lead + (old.tail - old.head) + size
    memcpy(bytes_of(piece) + lead, bytes_of(old) + old.head, at - old.head)
    memcpy(bytes_of(piece) + lead + (at - old.head) + size, bytes_of(old) + at, old.tail - at)
    attach(deque, piece, old == deque.first)
    heap_free(deque.node, old)
    return piece


cdef char* open_gap(Deque* deque, Piece* piece, uint32_t at, uint32_t size) noexcept nogil:
    """Make `size` bytes of room at `at`, between two items or at an end; returns where. The piece may move."""
    cdef uint32_t before = at - piece.head
    cdef uint32_t after = piece.tail - at
    cdef uint32_t used = before + after + size
    cdef uint32_t room = piece.room
    cdef uint32_t spare, lead
    cdef bint left = piece.head >= size
    cdef bint right = piece.room - piece.tail >= size
    if right and (after == 0 or not left or (after <= before and before)):
        memmove(bytes_of(piece) + at + size, bytes_of(piece) + at, after)
        piece.tail += size
        return bytes_of(piece) + at
    if left:
        piece.head -= size
        memmove(bytes_of(piece) + piece.head, bytes_of(piece) + piece.head + size, before)
        return bytes_of(piece) + at - size
    if used > room // 4 * 3:
        # Short lists are many and should be tight; a long piece is copied a dozen times until it is full.
        room = used + (used // 16 if used < ROOM_NEXT else used // 2)
        if room > deque.node.piece_most:
            room = deque.node.piece_most
        if room < used:
            room = used
    spare = room - used
    # The side that grows gets the room, but a side that has ever had a gap keeps a part: it is used, too.
    if after == 0:
        lead = spare // 4 if piece.head else 0
    elif before == 0:
        lead = spare // 4 * 3 if piece.room > piece.tail else spare
    else:
        lead = spare // 2
    piece = relocate(deque, piece, room, at, size, lead)
    return bytes_of(piece) + lead + before


cdef inline bint takes(const Node* node, const Piece* piece, uint32_t size) noexcept nogil:
    """May a piece be grown by an item? Not if that means to copy a full one over and over for the sake of its gap."""
    cdef uint32_t used = piece.tail - piece.head + size
    return (used <= node.piece_most and piece.count < node.piece_items
            and (piece.room < node.piece_most or used <= node.piece_most // 4 * 3))


cdef void deque_push(Deque* deque, const Slice* value, bint front) noexcept nogil:
    cdef uint32_t size = <uint32_t> value.length + 2 * length_size(value.length)
    cdef Piece* piece = deque.first if front else last_piece(deque)
    cdef uint32_t room
    cdef char* at
    if piece != NULL and piece.count >= deque.node.piece_items:
        piece = NULL
    if piece != NULL and front and piece.head >= size:
        piece.head -= size
        at = bytes_of(piece) + piece.head
        piece.count += 1
    elif piece != NULL and not front and piece.room - piece.tail >= size:
        at = bytes_of(piece) + piece.tail
        piece.tail += size
        piece.count += 1
    elif piece != NULL and takes(deque.node, piece, size):
        piece.count += 1
        at = open_gap(deque, piece, piece.head if front else piece.tail, size)
    else:
        room = ROOM_LEAST if deque.first == NULL else ROOM_NEXT
        piece = add_piece(deque, NULL if front else last_piece(deque), room if room > size else size, front)
        piece.count = 1
        at = open_gap(deque, piece, piece.head, size)
    write_item(at, value)
    deque.count += 1


cdef inline bint is_full(const Node* node, const Piece* piece, uint32_t size) noexcept nogil:
    return piece.tail - piece.head + size > node.piece_most or piece.count >= node.piece_items


cdef void deque_limit(Node* node, int64_t size) noexcept nogil:
    """What list-max-listpack-size says: so many items in a piece (and 8 KiB), or -1: 4 KiB, -2: 8 KiB … -5: 64 KiB."""
    node.piece_items = UINT32_MAX if size < 0 else <uint32_t> size if size > 1 else 1
    node.piece_most = (4096 << (-1 - (size if size > -5 else -5)) if size < 0 else 8192) - PIECE_COST


cdef void deque_insert(Deque* deque, const Item* item, const Slice* value, bint behind) noexcept nogil:
    """Insert in front of an item or behind it; the item's place is no longer valid."""
    cdef uint32_t size = <uint32_t> value.length + 2 * length_size(value.length)
    cdef Piece* piece = item.piece
    cdef Piece* rest
    cdef uint32_t at = item.at + (item.size if behind else 0)
    cdef uint32_t count = 0
    cdef Item step
    deque.count += 1
    if is_full(deque.node, piece, size):
        if at != piece.head and at != piece.tail:
            # Split: what follows gets a piece of its own.
            rest = add_piece(deque, piece, piece.tail - at, False)
            memcpy(bytes_of(rest), bytes_of(piece) + at, piece.tail - at)
            rest.tail = piece.tail - at
            load(piece, piece.head, &step)
            count = 1
            while step.at + step.size < at:
                load(piece, step.at + step.size, &step)
                count += 1
            rest.count = piece.count - count
            piece.count = count
            piece.tail = at
        if is_full(deque.node, piece, size):
            piece = add_piece(deque, piece if at == piece.tail else piece_before(piece), size, False)
            at = piece.head
    piece.count += 1
    write_item(open_gap(deque, piece, at, size), value)


cdef void deque_remove(Deque* deque, Item* item, bint backwards) noexcept nogil:
    """Remove an item; `item` becomes the one behind it (backwards: in front of it), its piece NULL where there is none.
    """
    cdef Piece* piece = item.piece
    cdef Item gone = item[0]
    cdef bint more = deque_step(item, backwards)
    cdef uint32_t before = gone.at - piece.head
    cdef uint32_t after = piece.tail - gone.at - gone.size
    cdef bint same = more and item.piece == piece
    cdef uint32_t head
    deque.count -= 1
    piece.count -= 1
    if piece.count == 0:
        drop_piece(deque, piece)
        return
    if before < after:
        piece.head += gone.size
        memmove(bytes_of(piece) + piece.head, bytes_of(piece) + piece.head - gone.size, before)
        if same and backwards:
            load(piece, item.at + gone.size, item)
    else:
        memmove(bytes_of(piece) + gone.at, bytes_of(piece) + gone.at + gone.size, after)
        piece.tail -= gone.size
        if same and not backwards:
            load(piece, gone.at, item)
    if piece.room > SHRINK_FROM and piece.tail - piece.head < piece.room // 4:
        head = piece.head
        piece = relocate(deque, piece, piece.room // 2, piece.tail, 0,
                         piece.room // 8 if head else 0)
        if same:
            load(piece, item.at - head + piece.head, item)


cdef void deque_replace(Deque* deque, Item* item, const Slice* value) noexcept nogil:
    """Give an item another value; its place is no longer valid."""
    if item.value.length == value.length:
        memcpy(<char*> item.value.data, value.data, value.length)
        return
    deque_remove(deque, item, False)
    if item.piece == NULL:
        deque_push(deque, value, False)
    else:
        deque_insert(deque, item, value, False)


cdef void deque_cut(Deque* deque, size_t count, bint front) noexcept nogil:
    """Remove `count` items from an end, whole pieces at a time where that is possible; at most as many as there are."""
    cdef Piece* piece
    cdef Item item
    while count:
        piece = deque.first if front else last_piece(deque)
        if piece.count <= count:
            count -= piece.count
            deque.count -= piece.count
            drop_piece(deque, piece)
        else:
            deque_end(deque, front, &item)
            deque_remove(deque, &item, not front)
            count -= 1


cdef bint deque_end(Deque* deque, bint front, Item* item) noexcept nogil:
    """The first or the last item; False: the deque is empty."""
    item.piece = deque.first if front else last_piece(deque)
    if item.piece == NULL:
        return False
    if front:
        load(item.piece, item.piece.head, item)
    else:
        load_before(item.piece, item.piece.tail, item)
    return True


cdef bint deque_step(Item* item, bint backwards) noexcept nogil:
    """Go to the next item or the previous one; False, and item.piece NULL: there is none."""
    cdef Piece* piece = item.piece
    if not backwards and item.at + item.size < piece.tail:
        load(piece, item.at + item.size, item)
        return True
    if backwards and item.at > piece.head:
        load_before(piece, item.at, item)
        return True
    piece = piece_before(piece) if backwards else piece.next
    item.piece = piece
    if piece == NULL:
        return False
    if backwards:
        load_before(piece, piece.tail, item)
    else:
        load(piece, piece.head, item)
    return True


cdef bint deque_index(Deque* deque, long long index, Item* item) noexcept nogil:
    """Item number `index`, negative from the end; False: there is none. Goes from the nearer end, of the list and then
    of the piece."""
    cdef Piece* piece
    cdef uint64_t left
    if index < 0:
        index += <long long> deque.count
    if index < 0 or <uint64_t> index >= deque.count:
        return False
    left = index
    if left < deque.count // 2:
        piece = deque.first
        while left >= piece.count:
            left -= piece.count
            piece = piece.next
    else:
        left = deque.count - 1 - left
        piece = last_piece(deque)
        while left >= piece.count:
            left -= piece.count
            piece = piece.previous
        left = piece.count - 1 - left
    if left < piece.count // 2:
        load(piece, piece.head, item)
        while left:
            load(piece, item.at + item.size, item)
            left -= 1
    else:
        left = piece.count - 1 - left
        load_before(piece, piece.tail, item)
        while left:
            load_before(piece, item.at, item)
            left -= 1
    return True


cdef size_t deque_bytes(const Deque* deque) noexcept nogil:
    """What the structure takes from the heap."""
    cdef size_t total = heap_bytes(deque)
    cdef Piece* piece = deque.first
    while piece != NULL:
        total += heap_bytes(piece)
        piece = piece.next
    return total
