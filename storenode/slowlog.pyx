# cython: language_level=3, boundscheck=False, wraparound=False, cdivision=True, initializedcheck=False
"""Slowlog: noting a command, showing them. See slowlog.pxd.

One comparison of clock cycles is all that a command pays which was quick enough for the log and for LATENCY alike.
"""

from libc.stdint cimport UINT64_MAX, int64_t, uint64_t
from libc.stdio cimport snprintf
from libc.stdlib cimport free
from libc.string cimport memcpy, strcmp, strlen, strstr

from proxy.wire.resp cimport read_number
from storenode.answer cimport answer_array, answer_bulk, answer_error, answer_number, answer_ok, answer_text
from storenode.clock cimport clock_usec
from storenode.latency cimport LATENCY_COMMAND, LATENCY_FAST_COMMAND, latency_event
from storenode.manual cimport answer_try_help
from storenode.types cimport (
    FAST, LATENCY_THRESHOLD, NAME_MOST, SLOWLOG_MOST, SLOWLOG_SLOWER, Call, Client, Node, Row, Slice, Slow, Word,
)
from storenode.words cimport word_new, word_text, words_append, words_free, zeroed

cdef enum:
    WORDS_MOST = 32            # arguments kept of a command, the last of them a note on how many there were
    BYTES_MOST = 128           # of one
    SHOWN = 10                 # entries that SLOWLOG GET shows unless told otherwise


cdef void slow_update(Node* node) noexcept nogil:
    """Work out from how many cycles on a command is looked at."""
    cdef int64_t slower = node.settings[SLOWLOG_SLOWER]
    cdef int64_t threshold = node.settings[LATENCY_THRESHOLD]
    cdef double limit = -1
    if slower >= 0 and node.settings[SLOWLOG_MOST]:
        limit = <double> slower
    if threshold and (limit < 0 or threshold * 1000.0 < limit):
        limit = threshold * 1000.0
    limit *= node.cycles_us
    node.slow_cycles = UINT64_MAX if limit < 0 or limit > 1e18 else <uint64_t> limit


cdef bint is_secret(const Row* row) noexcept nogil:
    return (strcmp(row.name, b"auth") == 0 or strcmp(row.name, b"hello") == 0 or strcmp(row.name, b"acl|setuser") == 0
            or strcmp(row.name, b"config|set") == 0)


cdef Word* shortened(const Slice* argument) noexcept nogil:
    cdef char text[BYTES_MOST + 64]
    if argument.length <= BYTES_MOST:
        return word_new(argument.data, argument.length)
    memcpy(text, argument.data, BYTES_MOST)
    return word_new(text, BYTES_MOST + snprintf(text + BYTES_MOST, 64, b"... (%zu more bytes)",
                                                argument.length - BYTES_MOST))


cdef void note(Call* call, const Row* row, uint64_t usec) noexcept nogil:
    cdef Node* node = call.node
    cdef Client* client = call.client
    cdef Slow* slow = <Slow*> zeroed(sizeof(Slow))
    cdef char text[64]
    cdef int index
    slow.id = node.slow_next
    node.slow_next += 1
    slow.time = node.now_ms // 1000
    slow.usec = usec
    slow.argc = call.argc if call.argc <= WORDS_MOST else WORDS_MOST
    for index in range(slow.argc):
        if index == WORDS_MOST - 1 and call.argc > WORDS_MOST:
            words_append(&slow.words, word_new(text, snprintf(text, sizeof(text), b"... (%d more arguments)",
                                                              call.argc - WORDS_MOST + 1)))
        elif index > (row.parent >= 0) and is_secret(row):
            words_append(&slow.words, word_new(b"(redacted)", 10))
        else:
            words_append(&slow.words, shortened(&call.argv[index]))
    if client.name != NULL:
        slow.name = word_new(client.name, strlen(client.name))
    else:
        slow.name = word_new(b"", 0)
    memcpy(slow.peer, client.peer, NAME_MOST)
    slow.next = node.slow
    node.slow = slow
    node.slow_count += 1
    slow_limit(node, node.settings[SLOWLOG_MOST])


cdef void slow_seen(Call* call, const Row* row, uint64_t spent) noexcept nogil:
    """A command took so many cycles that the log or LATENCY may want it."""
    cdef Node* node = call.node
    cdef uint64_t usec = <uint64_t> clock_usec(node, spent)
    latency_event(node, LATENCY_FAST_COMMAND if row.flags & FAST else LATENCY_COMMAND, usec)
    if (node.settings[SLOWLOG_SLOWER] >= 0 and <int64_t> usec >= node.settings[SLOWLOG_SLOWER]
            and node.settings[SLOWLOG_MOST]
            and (row.fact == NULL or strstr(row.fact.flags, b"skip_slowlog") == NULL)):
        note(call, row, usec)


cdef void slow_limit(Node* node, long long most) noexcept nogil:
    """Forget the oldest entries beyond `most`. The list is short: the whole of it is walked."""
    cdef Slow** place = &node.slow
    cdef Slow* gone
    if node.slow_count <= most:
        return
    while place[0] != NULL and most > 0:
        place = &place[0].next
        most -= 1
    while place[0] != NULL:
        gone = place[0]
        place[0] = gone.next
        words_free(gone.words)
        words_free(gone.name)
        free(gone)
        node.slow_count -= 1


cdef void command_slowlog_get(Call* call) noexcept nogil:
    """SLOWLOG GET [count]; -1: all."""
    cdef const Slow* slow = call.node.slow
    cdef const Word* word
    cdef long long count = SHOWN
    if call.argc > 3:
        answer_try_help(call)
        return
    if call.argc == 3:
        if not read_number(call.argv[2].data, call.argv[2].length, &count) or count < -1:
            answer_error(call, b"ERR count should be greater than or equal to -1")
            return
    if count < 0 or count > call.node.slow_count:
        count = call.node.slow_count
    answer_array(call, count)
    while count:
        answer_array(call, 6)
        answer_number(call, <long long> slow.id)
        answer_number(call, slow.time)
        answer_number(call, <long long> slow.usec)
        answer_array(call, slow.argc)
        word = slow.words
        while word != NULL:
            answer_bulk(call, word_text(word), word.length)
            word = word.next
        answer_text(call, slow.peer)
        answer_bulk(call, word_text(slow.name), slow.name.length)
        slow = slow.next
        count -= 1


cdef void command_slowlog_len(Call* call) noexcept nogil:
    answer_number(call, call.node.slow_count)


cdef void command_slowlog_reset(Call* call) noexcept nogil:
    slow_limit(call.node, 0)
    answer_ok(call)
