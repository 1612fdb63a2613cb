# cython: language_level=3, boundscheck=False, wraparound=False, cdivision=True, initializedcheck=False
"""Pause: see pause.pxd."""

from libc.stdint cimport uint64_t

from proxy.wire.output cimport output_clear
from proxy.wire.resp cimport read_number
from proxy.wire.system cimport monotonic_us
from storenode.answer cimport answer_error, answer_ok, answer_syntax
from storenode.arguments cimport is_word
from storenode.delivery cimport client_touch
from storenode.pubsub cimport command_publish, command_spublish
from storenode.transaction cimport command_exec
from storenode.types cimport WRITE, Call, Client, Node, Row

cdef enum:
    PAUSE_MOST = 1000000000000 # ms: beyond any use, and far from overflowing in us


cdef bint pause_holds(Node* node, Client* client, const Row* row) noexcept nogil:
    """Does a request have to wait? row NULL: not looked up yet; it waits whatever it is."""
    if monotonic_us() >= node.paused_until_us:
        pause_end(node)
        return False
    if node.paused_all or row == NULL:
        return True
    if row.handler == command_exec:
        return client.transaction.flags & WRITE != 0
    return row.flags & WRITE != 0 or row.handler == command_publish or row.handler == command_spublish


cdef void pause_end(Node* node) noexcept nogil:
    """Let those go on that were held."""
    cdef Client* client = node.clients
    node.paused_until_us = 0
    node.paused_all = False
    while client != NULL:
        if client.held:
            client.held = False
            client.parked = client.input.chunk != NULL
            client_touch(node, client)
        client = client.next


cdef void command_client_pause(Call* call) noexcept nogil:
    """CLIENT PAUSE milliseconds [WRITE|ALL]. A pause under way becomes longer or wider, never less."""
    cdef long long wait_ms
    cdef uint64_t until
    cdef bint everything = True
    if call.argc > 4:
        answer_error(call, b"ERR unknown subcommand or wrong number of arguments for 'pause'. Try CLIENT HELP.")
        return
    if call.argc == 4:
        everything = is_word(&call.argv[3], b"all")
        if not everything and not is_word(&call.argv[3], b"write"):
            answer_error(call, b"ERR CLIENT PAUSE mode must be WRITE or ALL")
            return
    if not read_number(call.argv[2].data, call.argv[2].length, &wait_ms):
        answer_error(call, b"ERR timeout is not an integer or out of range")
        return
    if wait_ms < 0:
        answer_error(call, b"ERR timeout is negative")
        return
    if wait_ms > <long long> PAUSE_MOST:
        answer_error(call, b"ERR timeout is out of range")
        return
    until = monotonic_us() + <uint64_t> wait_ms * 1000
    if until > call.node.paused_until_us:
        call.node.paused_until_us = until
    call.node.paused_all = call.node.paused_all or everything
    answer_ok(call)


cdef void command_client_unpause(Call* call) noexcept nogil:
    pause_end(call.node)
    answer_ok(call)


cdef void command_client_reply(Call* call) noexcept nogil:
    """CLIENT REPLY ON|OFF|SKIP. Only ON is answered."""
    cdef Client* client = call.client
    if is_word(&call.argv[2], b"on"):
        client.quiet = 0
        call.output = &client.output
        answer_ok(call)
    elif is_word(&call.argv[2], b"off"):
        client.quiet = QUIET_OFF
    elif is_word(&call.argv[2], b"skip"):
        if client.quiet != QUIET_OFF:
            client.quiet = QUIET_NEXT
    else:
        answer_syntax(call)


cdef void end_quiet(Node* node, Client* client) noexcept nogil:
    """A request of a client that is not answered is done."""
    output_clear(&node.discarded, &node.chunks)
    if client.quiet == QUIET_ONE:
        client.quiet = 0
    elif client.quiet == QUIET_NEXT:
        client.quiet = QUIET_ONE
    node.call.output = &node.discarded if client.quiet else &client.output
