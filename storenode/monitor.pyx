# cython: language_level=3, boundscheck=False, wraparound=False, cdivision=True, initializedcheck=False
"""Monitor: see monitor.pxd. A line is written down before its command runs, which may rewrite its arguments, and sent
after it; so EXEC follows its block."""

from libc.stdint cimport uint64_t
from libc.stdio cimport snprintf
from libc.string cimport strcmp

from proxy.wire.output cimport Output, output_append
from proxy.wire.system cimport realtime_us
from storenode.answer cimport answer_error, answer_ok
from storenode.arguments cimport is_word
from storenode.delivery cimport output_for
from storenode.text cimport Text, text_add, text_free, text_room
from storenode.types cimport NAME_MOST, Call, Client, Node, Row, Slice


cdef void command_monitor(Call* call) noexcept nogil:
    """A second one is not answered, as in redis-server."""
    if call.node.in_exec:
        answer_error(call, b"ERR MONITOR isn't allowed for DENY BLOCKING client")
        return
    if call.client.monitoring:
        return
    call.client.monitoring = True
    call.client.next_monitor = call.node.monitors
    call.node.monitors = call.client
    answer_ok(call)


cdef void monitor_end(Node* node, Client* client) noexcept nogil:
    """The client is gone, or has been reset."""
    cdef Client** at = &node.monitors
    if client.monitoring:
        while at[0] != client:
            at = &at[0].next_monitor
        at[0] = client.next_monitor
        client.monitoring = False


cdef void quote(Text* line, const Slice* word) noexcept nogil:
    """An argument in quotation marks, with what cannot be printed escaped."""
    cdef char* at
    cdef unsigned char byte
    cdef size_t index
    text_add(line, b" \"")
    for index in range(word.length):
        byte = <unsigned char> word.data[index]
        at = text_room(line, 8)
        if byte == c'\\' or byte == c'"':
            line.length += snprintf(at, 8, b"\\%c", byte)
        elif byte == c'\n':
            line.length += snprintf(at, 8, b"\\n")
        elif byte == c'\r':
            line.length += snprintf(at, 8, b"\\r")
        elif byte == c'\t':
            line.length += snprintf(at, 8, b"\\t")
        elif byte == 7:
            line.length += snprintf(at, 8, b"\\a")
        elif byte == 8:
            line.length += snprintf(at, 8, b"\\b")
        elif 32 <= byte < 127:
            at[0] = byte
            line.length += 1
        else:
            line.length += snprintf(at, 8, b"\\x%02x", <unsigned int> byte)
    text_add(line, b"\"")


cdef void monitor_write(Call* call, const Row* row, Text* line) noexcept nogil:
    """The words of a command that is about to run. Passwords are not shown."""
    cdef int hidden = 0        # arguments not to be shown from here on
    cdef int index
    if strcmp(row.name, b"auth") == 0:
        hidden = call.argc - 1
    for index in range(call.argc):
        if hidden and index:
            text_add(line, b" \"(redacted)\"")
            hidden -= 1
        else:
            quote(line, &call.argv[index])
            if is_word(&call.argv[index], b"auth") and index and strcmp(row.name, b"hello") == 0:
                hidden = 2
    text_add(line, b"\r\n")


cdef void monitor_send(Call* call, Text* line) noexcept nogil:
    """The command has run: SELECT is shown with the database that it has led to."""
    cdef Node* node = call.node
    cdef Client* client = node.monitors
    cdef uint64_t now = realtime_us()
    cdef char head[NAME_MOST + 64]
    cdef Output* output
    cdef int length = snprintf(
        head, sizeof(head), b"+%llu.%06llu [%d %s]", <unsigned long long> (now // 1000000),
        <unsigned long long> (now % 1000000), call.client.database.number, call.client.peer)
    while client != NULL:
        if not client.closing:
            output = output_for(node, client)
            output_append(output, &node.chunks, head, length)
            output_append(output, &node.chunks, line.data, line.length)
        client = client.next_monitor
    text_free(line)
