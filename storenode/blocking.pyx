# cython: language_level=3, boundscheck=False, wraparound=False, cdivision=True, initializedcheck=False
"""Blocking commands. See blocking.pxd."""

from libc.limits cimport LLONG_MAX
from libc.stdint cimport uint64_t

from proxy.wire.system cimport monotonic_us
from storenode.answer cimport answer_error, answer_nil, answer_nil_array, answer_number
from storenode.arguments cimport is_word, take_float, take_integer
from storenode.blocked cimport wait_begin, wait_cancel
from storenode.connection cimport client_find
from storenode.keyspace cimport MISTYPED, PRESENT, key_write_as
from storenode.lists cimport read_lmpop, take_end
from storenode.serve cimport ACROSS, MANY, ONE, serve_pop
from storenode.types cimport LIST, ZSET, Call, Client, Place, Pop, Slice
from storenode.zsets cimport read_zmpop

cdef extern from "<math.h>" nogil:
    long double ceill(long double value)


cdef bint take_timeout(Call* call, const Slice* argument, uint64_t* deadline_us) noexcept nogil:
    """Read a number of seconds; whole milliseconds, rounded up. 0: no deadline. Or answer and return False."""
    cdef long double value
    cdef uint64_t milliseconds
    if not take_float(argument, &value):
        answer_error(call, b"ERR timeout is not a float or out of range")
        return False
    value = ceill(value * 1000)
    if value < 0 or value >= <long double> LLONG_MAX:  # as Redis says it, to which such a number is below 0
        answer_error(call, b"ERR timeout is negative")
        return False
    if value > <long double> (LLONG_MAX - call.node.now_ms):
        answer_error(call, b"ERR timeout is out of range")
        return False
    milliseconds = <uint64_t> value
    # In microseconds the longest of these would not fit; it is 292,000 years as it is.
    if milliseconds > <uint64_t> LLONG_MAX // 2000:
        milliseconds = <uint64_t> LLONG_MAX // 2000
    deadline_us[0] = monotonic_us() + milliseconds * 1000 if milliseconds else 0
    return True


cdef Pop new_pop(int type, int form, bint first) noexcept nogil:
    cdef Pop pop
    pop.type = type
    pop.form = form
    pop.first = first
    pop.to_front = False
    pop.count.data = b"1"
    pop.count.length = 1
    pop.target.data = b""
    pop.target.length = 0
    return pop


cdef void pop_or_wait(Call* call, const Pop* pop, int first, int count, uint64_t deadline_us) noexcept nogil:
    """Take from the first of `count` keys, from argument `first` on, that exists; or wait for one."""
    cdef Place place
    cdef Slice source
    cdef int index, lookup
    for index in range(first, first + count):
        lookup = key_write_as(call, &call.argv[index], pop.type, &place)
        if lookup == MISTYPED:
            return
        if lookup == PRESENT:
            source = call.argv[index]
            serve_pop(call, pop, &source)
            return
    if not call.node.in_exec:
        wait_begin(call, pop, &call.argv[first], count, deadline_us)
    elif pop.form == ACROSS:
        answer_nil(call)
    else:
        answer_nil_array(call)


cdef void pop_one(Call* call, int type, bint first) noexcept nogil:
    """The command's form is: keys, then the timeout."""
    cdef uint64_t deadline_us
    cdef Pop pop = new_pop(type, ONE, first)
    if take_timeout(call, &call.argv[call.argc - 1], &deadline_us):
        pop_or_wait(call, &pop, 1, call.argc - 2, deadline_us)


cdef void command_blpop(Call* call) noexcept nogil:
    pop_one(call, LIST, True)


cdef void command_brpop(Call* call) noexcept nogil:
    pop_one(call, LIST, False)


cdef void command_bzpopmin(Call* call) noexcept nogil:
    pop_one(call, ZSET, True)


cdef void command_bzpopmax(Call* call) noexcept nogil:
    pop_one(call, ZSET, False)


cdef void move_across(Call* call, bint from_front, bint to_front, const Slice* timeout) noexcept nogil:
    cdef uint64_t deadline_us
    cdef Pop pop = new_pop(LIST, ACROSS, from_front)
    pop.to_front = to_front
    pop.target = call.argv[2]
    if take_timeout(call, timeout, &deadline_us):
        pop_or_wait(call, &pop, 1, 1, deadline_us)


cdef void command_blmove(Call* call) noexcept nogil:
    """BLMOVE source target LEFT|RIGHT LEFT|RIGHT timeout."""
    cdef bint from_front, to_front
    if take_end(call, &call.argv[3], &from_front) and take_end(call, &call.argv[4], &to_front):
        move_across(call, from_front, to_front, &call.argv[5])


cdef void command_brpoplpush(Call* call) noexcept nogil:
    """BRPOPLPUSH source target timeout."""
    move_across(call, False, True, &call.argv[3])


cdef void pop_many(Call* call, int type) noexcept nogil:
    """BLMPOP, BZMPOP timeout numkeys key … LEFT|RIGHT, MIN|MAX [COUNT n]."""
    cdef uint64_t deadline_us
    cdef long long count
    cdef int keys
    cdef bint first, good
    cdef Pop pop
    if type == LIST:
        good = read_lmpop(call, 2, &keys, &first, &count)
    else:
        good = read_zmpop(call, 2, &keys, &first, &count)
    if good and take_timeout(call, &call.argv[1], &deadline_us):
        pop = new_pop(type, MANY, first)
        if call.argc > keys + 4:
            pop.count = call.argv[call.argc - 1]
        pop_or_wait(call, &pop, 3, keys, deadline_us)


cdef void command_blmpop(Call* call) noexcept nogil:
    pop_many(call, LIST)


cdef void command_bzmpop(Call* call) noexcept nogil:
    pop_many(call, ZSET)


cdef void command_client_unblock(Call* call) noexcept nogil:
    """CLIENT UNBLOCK id [TIMEOUT|ERROR]."""
    cdef Client* client
    cdef const char* error = NULL
    cdef long long number
    if call.argc == 4 and is_word(&call.argv[3], b"error"):
        error = b"UNBLOCKED client unblocked via CLIENT UNBLOCK"
    elif call.argc > 4 or (call.argc == 4 and not is_word(&call.argv[3], b"timeout")):
        answer_error(call, b"ERR CLIENT UNBLOCK reason should be TIMEOUT or ERROR")
        return
    if not take_integer(call, &call.argv[2], &number):
        return
    client = client_find(call.node, <uint64_t> number)
    if client == NULL or client.wait == NULL:
        answer_number(call, 0)
        return
    wait_cancel(call.node, client, error)
    answer_number(call, 1)
