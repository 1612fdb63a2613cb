# cython: language_level=3, boundscheck=False, wraparound=False, cdivision=True, initializedcheck=False
"""Merge: collecting parts and writing the merged reply. See merge.pxd.

MGET is answered element by element in key order, and so is an EXEC with several blocks; MSET with OK; DEL, UNLINK,
EXISTS and TOUCH with the sum; WAIT with the least number. The first error of any part becomes the whole reply, because
a client cannot see that a part failed; only MGET under `partial_mget: nil` gives nil for that part's keys.

A command that was split inside a transaction has a merge of its own, whose parts are elements of the blocks' arrays.
"""

from libc.stdint cimport uint16_t, uint32_t
from libc.stdlib cimport abort, calloc, free
from libc.string cimport memchr, memcpy

from proxy.engine.types cimport LANE_MGET, LANE_SUM, MERGE_EXEC, MERGE_LEAST, PLACE_SPLIT, Core, Merge
from proxy.wire.chunk cimport Chunk, chunk_exact, chunk_free
from proxy.wire.output cimport Output, output_append, output_number
from proxy.wire.reply cimport ReplyFrame, frame_reply, reply_reset
from proxy.wire.resp cimport read_number


cdef Merge* merge_new(Core* core, int lane, bint nil_on_error, uint32_t keys) noexcept nogil:
    """A merge of no parts yet; the caller numbers them in `part_of` and counts them in `parts` and `waiting`."""
    cdef Merge* merge = <Merge*> calloc(1, sizeof(Merge))
    if merge == NULL:
        abort()
    merge.lane = <unsigned char> lane
    merge.nil_on_error = nil_on_error
    merge.keys = keys
    merge.part_of = <uint16_t*> calloc(keys, sizeof(uint16_t))
    if merge.part_of == NULL:
        abort()
    return merge


cdef void merge_free(Core* core, Merge* merge) noexcept nogil:
    cdef uint32_t part
    merges_free(core, merge.splits)
    if merge.replies != NULL:
        for part in range(merge.parts):
            if merge.replies[part] != NULL:
                chunk_free(&core.chunks, merge.replies[part])
        free(merge.replies)
    if merge.error != NULL:
        chunk_free(&core.chunks, merge.error)
    free(merge.part_of)
    free(merge.blocks)
    free(merge)


cdef void merges_free(Core* core, Merge* merge) noexcept nogil:
    """Free a list of them."""
    cdef Merge* after
    while merge != NULL:
        after = merge.next
        merge_free(core, merge)
        merge = after


cdef Chunk* copy_of(Core* core, const char* data, size_t length) noexcept nogil:
    cdef Chunk* chunk = chunk_exact(&core.chunks, length)
    memcpy(chunk.data, data, length)
    chunk.tail = length
    return chunk


cdef void merge_take(Core* core, Merge* merge, uint32_t left, Chunk* taken) noexcept nogil:
    """One more part, whose reply is here: of an MGET whose other keys are core.keys[:left], and part_of[:left] theirs."""
    cdef uint32_t index
    cdef uint32_t key = merge.keys
    # From the end on, because a key never stands before its place among those that are left.
    index = left
    while key:
        key -= 1
        if index and core.keys[index - 1].argument == key + 1:
            index -= 1
            merge.part_of[key] = merge.part_of[index]
        else:
            merge.part_of[key] = <uint16_t> merge.parts
    merge.replies = <Chunk**> calloc(merge.parts + 1, sizeof(Chunk*))
    if merge.replies == NULL:
        abort()
    merge.replies[merge.parts] = taken
    merge.bytes += taken.tail - taken.head
    merge.parts += 1


cdef bint merge_part(Core* core, Merge* merge, uint32_t part, const char* data, size_t length) noexcept nogil:
    """Take the reply of one part; True when it was the last."""
    cdef const char* end
    cdef long long count = 0
    merge.waiting -= 1
    merge.bytes += length
    if data[0] == c'-':
        if merge.error == NULL:
            merge.error = copy_of(core, data, length)
    elif merge.lane == MERGE_EXEC and (data[0] == c'_' or data[1] == c'-'):
        # Not run, because a watched key was changed: the whole of it.
        if merge.error == NULL:
            merge.error = copy_of(core, data, length)
    elif merge.lane == LANE_MGET or merge.lane == MERGE_EXEC:
        if merge.replies == NULL:
            merge.replies = <Chunk**> calloc(merge.parts, sizeof(Chunk*))
            if merge.replies == NULL:
                abort()
        merge.replies[part] = copy_of(core, data, length)
    elif merge.lane == LANE_SUM or merge.lane == MERGE_LEAST:
        end = <const char*> memchr(data, c'\r', length)
        if data[0] == c':' and read_number(data + 1, end - data - 1, &count):
            if merge.lane == LANE_SUM:
                merge.sum += count
            elif count < merge.sum or merge.waiting + 1 == merge.parts:
                merge.sum = count
    return merge.waiting == 0


cdef void merge_result(Core* core, Merge* merge, int protocol, Output* target) noexcept nogil:
    """Append the merged reply to `target`."""
    cdef uint32_t key, part
    cdef size_t length
    cdef Chunk* chunk
    cdef const char* end
    if merge.error != NULL and not (merge.lane == LANE_MGET and merge.nil_on_error):
        output_append(target, &core.chunks, merge.error.data, merge.error.tail)
        return
    if merge.lane == LANE_SUM or merge.lane == MERGE_LEAST:
        output_number(target, &core.chunks, c':', merge.sum)
        return
    if merge.lane != LANE_MGET and merge.lane != MERGE_EXEC:
        output_append(target, &core.chunks, b"+OK\r\n", 5)
        return
    # `head` of each part's chunk walks over its elements; skip the array headers first.
    for part in range(merge.parts):
        chunk = NULL if merge.replies == NULL else merge.replies[part]
        if chunk != NULL:
            end = <const char*> memchr(chunk.data, c'\n', chunk.tail)
            chunk.head = <size_t> (end - chunk.data) + 1
    output_number(target, &core.chunks, c'*', merge.keys)
    for key in range(merge.keys):
        if merge.part_of[key] == PLACE_SPLIT:
            split_result(core, merge, protocol, target)
            continue
        chunk = NULL if merge.replies == NULL else merge.replies[merge.part_of[key]]
        length = element(chunk)
        if length:
            output_append(target, &core.chunks, chunk.data + chunk.head, length)
            chunk.head += length
        else:
            append_nil(core, protocol, target)


cdef size_t element(Chunk* chunk) noexcept nogil:
    """The length of the next element of a part; 0: there is no reply, or its node sent too few elements."""
    cdef ReplyFrame frame
    if chunk == NULL:
        return 0
    reply_reset(&frame)
    if frame_reply(&frame, chunk.data + chunk.head, chunk.tail - chunk.head, chunk.tail) != 0:
        return 0
    return frame.scanned


cdef void append_nil(Core* core, int protocol, Output* target) noexcept nogil:
    if protocol == 3:
        output_append(target, &core.chunks, b"_\r\n", 3)
    else:
        output_append(target, &core.chunks, b"$-1\r\n", 5)


cdef void split_result(Core* core, Merge* whole, int protocol, Output* target) noexcept nogil:
    """The element of the next split command, from the next element of each block that has a part of it."""
    cdef Merge* split = whole.splits
    cdef Chunk* chunk
    cdef size_t length
    cdef uint32_t part
    whole.splits = split.next
    for part in range(split.parts):
        chunk = NULL if whole.replies == NULL else whole.replies[split.blocks[part]]
        length = element(chunk)
        if length:
            merge_part(core, split, part, chunk.data + chunk.head, length)
            chunk.head += length
    if split.waiting:
        append_nil(core, protocol, target)
    else:
        merge_result(core, split, protocol, target)
    merge_free(core, split)
