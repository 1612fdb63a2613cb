# cython: language_level=3, boundscheck=False, wraparound=False, cdivision=True, initializedcheck=False
"""Keys: evaluating key specs. See keys.pxd; the naive twin is `proxy.commands.keys_of`.

A spec says where to begin (a position, or behind a keyword) and which arguments from there are keys (a range with a
step, or as many as an argument says), as Redis 7 publishes them.
"""

from libc.stdint cimport uint32_t
from libc.stdlib cimport abort, realloc

from proxy.engine.lookup cimport same_word
from proxy.engine.types cimport BEGIN_INDEX, BEGIN_OPTION, SPECS, Core, KeyRef, KeySpec, Row
from proxy.wire.resp cimport Frame, args_begin, args_next, read_number


cdef void room_for(Core* core, size_t count) noexcept nogil:
    """The engine keeps one array of arguments and keys, as large as the largest request so far (up to a point)."""
    if core.key_room < count or (core.key_room > 65536 and count < 1024):
        core.key_room = count if count > 1024 else 1024
        core.keys = <KeyRef*> realloc(core.keys, core.key_room * sizeof(KeyRef))
        if core.keys == NULL:
            abort()


cdef int option_after(const Row* row, const KeyRef* args, int at, int argc) noexcept nogil:
    """The option after the one at `at`: its name and its operands are passed over."""
    cdef int index
    for index in range(row.option_count):
        if same_word(args[at].data, args[at].length, row.options[index]):
            return argc if row.operands[index] < 0 else at + 1 + row.operands[index]
    return at + 1


cdef int begin_of(const Row* row, const KeySpec* spec, const KeyRef* args, int argc) noexcept nogil:
    """The position where the spec begins; 0: nowhere in this request."""
    cdef int at, step
    cdef int found = 0
    if spec.begin == BEGIN_INDEX:
        return spec.index if spec.index < argc else 0
    at = spec.index if spec.index >= 0 else argc + spec.index
    if spec.begin == BEGIN_OPTION:
        while at < argc:
            if same_word(args[at].data, args[at].length, spec.keyword):
                found = at + 1
            at = option_after(row, args, at, argc)
        return found if found < argc else 0
    step = 1 if spec.index >= 0 else -1
    while 0 < at < argc:
        if same_word(args[at].data, args[at].length, spec.keyword):
            return at + 1 if at + 1 < argc else 0
        at += step
    return 0


cdef int keys_find(Core* core, const Row* row, const Frame* frame) noexcept nogil:
    """Fill core.keys with the keys of a canonical request; returns how many, or -1 when the request is malformed.

    Costs one pass over the arguments, then one over the keys.
    """
    cdef const char* place = args_begin(frame)
    cdef int argc = <int> frame.argc
    cdef int index, which, first, last, count = 0
    cdef long long number = 0
    cdef const KeySpec* spec
    cdef KeyRef* args
    cdef KeyRef* keys
    # Arguments in the upper part of the array, keys in the lower: a key's position never exceeds its index.
    room_for(core, 2 * <size_t> argc * SPECS)
    keys = core.keys
    args = core.keys + <size_t> argc * SPECS
    core.args = args
    for index in range(argc):
        place = args_next(place, &args[index].data, &args[index].length)
        args[index].argument = <uint32_t> index
    for which in range(row.spec_count):
        spec = &row.specs[which]
        first = begin_of(row, spec, args, argc)
        if first == 0:
            if spec.begin == BEGIN_INDEX:
                return -1
            continue
        if spec.by_number:
            index = first + spec.number_index
            if index < 0 or index >= argc or not read_number(args[index].data, args[index].length, &number):
                return -1
            if number < 0 or number > argc:
                return -1
            first += spec.first
            last = first + (<int> number - 1) * spec.step
        elif spec.last >= 0:
            last = first + spec.last
        elif spec.limit > 1:
            last = first + ((argc - first) // spec.limit + spec.last)
        else:
            last = argc + spec.last
        if last >= argc or (first > last and not spec.by_number):
            return -1
        index = first
        while index <= last:
            if count >= argc * SPECS:
                return -1
            keys[count] = args[index]
            keys[count].node = which
            count += 1
            index += spec.step
    return count


cdef bint blocks(Core* core, const Row* row, const Frame* frame) noexcept nogil:
    """Would this request wait at the node, because an option says so? An operand of that name is none."""
    cdef const char* place = args_begin(frame)
    cdef int argc = <int> frame.argc
    cdef int at
    room_for(core, argc)
    for at in range(argc):
        place = args_next(place, &core.keys[at].data, &core.keys[at].length)
    at = 1
    while at < argc:
        if same_word(core.keys[at].data, core.keys[at].length, row.blocks_with):
            return True
        at = option_after(row, core.keys, at, argc)
    return False
