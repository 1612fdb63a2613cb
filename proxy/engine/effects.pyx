# cython: language_level=3, boundscheck=False, wraparound=False, cdivision=True, initializedcheck=False
"""Effects: writing them. See effects.pxd; the naive twin is tests/oracle/effects.py.

A number that is none, or that Redis would refuse, is left as it is: every node has the right words for it.
"""

from libc.stdint cimport int64_t
from libc.string cimport memchr, memcpy

from proxy.engine.lookup cimport same_word
from proxy.engine.types cimport Core, Row
from proxy.wire.output cimport Output, output_append, output_bulk, output_number
from proxy.wire.resp cimport Frame, args_begin, args_next, read_number, write_number

# ms: what is beyond is left to the node, whose limits differ by version. No enum: it does not fit an int.
cdef int64_t FARTHEST = 1000000000000000


cdef bint instant(const char* text, size_t length, int64_t unit, int64_t wall_ms, bint past, long long* at) noexcept nogil:
    """The time that is so many units (of so many ms) from now; False where the node is to say what is wrong with it."""
    cdef long long value = 0
    if not read_number(text, length, &value) or value > FARTHEST // unit or value < -(FARTHEST // unit):
        return False
    if value <= 0 and not past:
        return False
    at[0] = wall_ms + value * unit
    if at[0] <= 0:
        at[0] = 1
    return True


cdef void append_number(Core* core, Output* output, long long value) noexcept nogil:
    cdef char text[32]
    output_bulk(output, &core.chunks, text, write_number(text, value) - 2)


cdef void effect_write(Core* core, const Row* row, const Frame* frame, int64_t wall_ms, Output* output) noexcept nogil:
    """Append what every node gets for this request."""
    if row.effect == EFFECT_EXPIRE or row.effect == EFFECT_PEXPIRE:
        expire(core, row, frame, wall_ms, output)
    elif row.effect == EFFECT_SETEX or row.effect == EFFECT_PSETEX:
        setex(core, row, frame, wall_ms, output)
    elif row.effect == EFFECT_SET or row.effect == EFFECT_GETEX:
        options(core, row, frame, wall_ms, output)
    else:
        output_append(output, &core.chunks, frame.data, frame.length)


cdef void expire(Core* core, const Row* row, const Frame* frame, int64_t wall_ms, Output* output) noexcept nogil:
    """[P]EXPIRE key n options → PEXPIREAT key ms options."""
    cdef const char* place = args_begin(frame)
    cdef const char* text
    cdef size_t length
    cdef unsigned int index
    cdef long long at = 0
    for index in range(3):
        place = args_next(place, &text, &length)
    if not instant(text, length, 1000 if row.effect == EFFECT_EXPIRE else 1, wall_ms, True, &at):
        output_append(output, &core.chunks, frame.data, frame.length)
        return
    output_number(output, &core.chunks, c'*', frame.argc)
    output_bulk(output, &core.chunks, b"PEXPIREAT", 9)
    place = args_next(args_begin(frame), &text, &length)
    place = args_next(place, &text, &length)
    output_bulk(output, &core.chunks, text, length)
    append_number(core, output, at)
    place = args_next(place, &text, &length)
    # What is left is passed on as it stands.
    output_append(output, &core.chunks, place, frame.length - (place - frame.data))


cdef void setex(Core* core, const Row* row, const Frame* frame, int64_t wall_ms, Output* output) noexcept nogil:
    """[P]SETEX key n value → SET key value PXAT ms."""
    cdef const char* place = args_begin(frame)
    cdef const char* key
    cdef const char* text
    cdef const char* value
    cdef size_t length, key_length, value_length
    cdef long long at = 0
    place = args_next(place, &text, &length)
    place = args_next(place, &key, &key_length)
    place = args_next(place, &text, &length)
    args_next(place, &value, &value_length)
    if not instant(text, length, 1000 if row.effect == EFFECT_SETEX else 1, wall_ms, False, &at):
        output_append(output, &core.chunks, frame.data, frame.length)
        return
    output_append(output, &core.chunks, b"*5\r\n$3\r\nSET\r\n", 13)
    output_bulk(output, &core.chunks, key, key_length)
    output_bulk(output, &core.chunks, value, value_length)
    output_bulk(output, &core.chunks, b"PXAT", 4)
    append_number(core, output, at)


cdef void options(Core* core, const Row* row, const Frame* frame, int64_t wall_ms, Output* output) noexcept nogil:
    """SET and GETEX: EX n and PX n become PXAT ms; everything else stays."""
    cdef const char* place = args_begin(frame)
    cdef const char* text
    cdef const char* number
    cdef size_t length, number_length
    cdef unsigned int index = 3 if row.effect == EFFECT_SET else 2
    cdef unsigned int passed
    cdef long long at = 0
    cdef int64_t unit
    for passed in range(index):
        place = args_next(place, &text, &length)
    while index < frame.argc:
        number = place
        place = args_next(place, &text, &length)
        unit = 1000 if same_word(text, length, b"ex") else 1 if same_word(text, length, b"px") else 0
        if unit and index + 1 < frame.argc:
            output_append(output, &core.chunks, frame.data, number - frame.data)
            place = args_next(place, &number, &number_length)
            if instant(number, number_length, unit, wall_ms, False, &at):
                output_bulk(output, &core.chunks, b"PXAT", 4)
                append_number(core, output, at)
            else:
                output_bulk(output, &core.chunks, text, length)
                output_bulk(output, &core.chunks, number, number_length)
            output_append(output, &core.chunks, place, frame.length - (place - frame.data))
            return
        index += 1
        if index < frame.argc and (same_word(text, length, b"pxat") or same_word(text, length, b"exat")
                or same_word(text, length, b"ifeq") or same_word(text, length, b"ifne")
                or same_word(text, length, b"ifdeq") or same_word(text, length, b"ifdne")):
            place = args_next(place, &text, &length)
            index += 1
    output_append(output, &core.chunks, frame.data, frame.length)


cdef bint effect_taken(Core* core, const char* key, size_t length, const char* reply, size_t size,
                       Output* output) noexcept nogil:
    """Append the SREM of what SPOP's reply says was taken; False: nothing was. `output` NULL: only say so."""
    cdef const char* line = <const char*> memchr(reply, c'\n', size)
    cdef long long count = 0
    if line == NULL or not read_number(reply + 1, line - reply - 2, &count):
        return False
    line += 1
    if reply[0] == c'$':
        # One member, as it stands in the reply.
        if count < 0:
            return False
        count = 1
        line = reply
    elif (reply[0] != c'*' and reply[0] != c'~') or count <= 0:
        return False
    if output != NULL:
        output_number(output, &core.chunks, c'*', count + 2)
        output_bulk(output, &core.chunks, b"SREM", 4)
        output_bulk(output, &core.chunks, key, length)
        output_append(output, &core.chunks, line, size - (line - reply))
    return True
