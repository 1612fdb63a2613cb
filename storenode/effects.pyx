# cython: language_level=3, boundscheck=False, wraparound=False, cdivision=True, initializedcheck=False
"""Effects: writing the stream and handing it on. See effects.pxd."""

from libc.stdint cimport uint64_t
from libc.stdio cimport fprintf, snprintf, stderr
from libc.stdlib cimport abort, free, malloc
from libc.string cimport memcpy

from proxy.wire.resp cimport write_number
from storenode.text cimport text_free, text_room
from storenode.types cimport CONSUMERS, Call, Consumer, Database, Node, Slice


cdef void effects_attach(Node* node, Consumer take, void* context) noexcept nogil:
    """Give the stream from here on to take(node, context, data, length). At most CONSUMERS at a time."""
    if node.effects.consumers == CONSUMERS:
        fprintf(stderr, "quench: CONSUMERS in storenode/types.pxd is too small\n")
        abort()
    if node.effects.consumers == 0:
        node.effects.data = <char*> malloc(EFFECTS_ROOM)
        if node.effects.data == NULL:
            fprintf(stderr, "quench: out of memory for the stream of effects\n")
            abort()
        node.effects.seen = node.changes
    else:
        effects_flush(node)
    node.effects.take[node.effects.consumers] = take
    node.effects.contexts[node.effects.consumers] = context
    node.effects.consumers += 1
    effects_reselect(node)


cdef void effects_detach(Node* node, Consumer take, void* context) noexcept nogil:
    """The last bytes so far are handed over first. Nothing happens if it was not attached."""
    cdef int index
    effects_flush(node)
    for index in range(node.effects.consumers):
        if node.effects.take[index] == take and node.effects.contexts[index] == context:
            node.effects.consumers -= 1
            node.effects.take[index] = node.effects.take[node.effects.consumers]
            node.effects.contexts[index] = node.effects.contexts[node.effects.consumers]
            break
    if node.effects.consumers == 0:
        free(node.effects.data)
        node.effects.data = NULL
        text_free(&node.effects.popped)
        node.effects.popped.length = 0
        node.effects.popped.room = 0


cdef void give(Node* node, const char* data, size_t length) noexcept nogil:
    cdef int index
    node.effects.given += length
    for index in range(node.effects.consumers):
        node.effects.take[index](node, node.effects.contexts[index], data, length)


cdef void effects_flush(Node* node) noexcept nogil:
    """Hand over what was gathered."""
    cdef size_t length = node.effects.length
    node.effects.length = 0
    if length:
        give(node, node.effects.data, length)


cdef void effects_reselect(Node* node) noexcept nogil:
    """Let the next command be preceded by a SELECT, whatever the stream said before."""
    node.effects.database = -1


cdef void effects_raw(Node* node, const char* data, size_t length) noexcept nogil:
    """Bytes of the stream as they are: an argument's, or what a replica passes on."""
    if length > EFFECTS_ROOM - node.effects.length:
        effects_flush(node)
        if length >= EFFECTS_ROOM:
            give(node, data, length)
            return
    memcpy(node.effects.data + node.effects.length, data, length)
    node.effects.length += length


cdef inline void put_number(Node* node, char kind, uint64_t value) noexcept nogil:
    cdef char text[32]
    text[0] = kind
    effects_raw(node, text, 1 + write_number(text + 1, <long long> value))


cdef void effects_argument(Node* node, const char* data, size_t length) noexcept nogil:
    put_number(node, c'$', length)
    effects_raw(node, data, length)
    effects_raw(node, b"\r\n", 2)


cdef void effects_head(Node* node, int database, uint64_t argc) noexcept nogil:
    """Begin a command of `argc` arguments, which the caller adds; and whatever has to come before it."""
    cdef char digits[8]
    cdef int length
    node.effects.seen = node.changes
    if node.effects.depth and not node.effects.begun:
        node.effects.begun = True
        effects_raw(node, b"*1\r\n$5\r\nMULTI\r\n", 15)
    if node.effects.database != database:
        node.effects.database = database
        effects_raw(node, b"*2\r\n$6\r\nSELECT\r\n", 16)
        length = write_number(digits, database) - 2
        effects_argument(node, digits, length)
    put_number(node, c'*', argc)


cdef void effects_emit(Node* node, int database, const Slice* argv, int argc) noexcept nogil:
    """Write a whole command. A handler that does so after its last key_changed() has said all that is to be said."""
    cdef int index
    if node.effects.consumers == 0:
        return
    effects_head(node, database, argc)
    for index in range(argc):
        effects_argument(node, argv[index].data, argv[index].length)


cdef void effects_begin(Node* node) noexcept nogil:
    """What is written until effects_end() belongs together. May be nested; writes nothing if nothing follows."""
    node.effects.depth += 1


cdef void effects_end(Node* node) noexcept nogil:
    node.effects.depth -= 1
    if node.effects.depth == 0 and node.effects.begun:
        node.effects.begun = False
        effects_raw(node, b"*1\r\n$4\r\nEXEC\r\n", 14)


cdef void effects_removed(Database* database, const Slice* key) noexcept nogil:
    """A key has expired or was evicted, and changes.pyx has counted it: no command will say so."""
    cdef Node* node = database.node
    cdef uint64_t seen = node.effects.seen
    effects_head(node, database.number, 2)
    effects_argument(node, b"DEL", 3)
    effects_argument(node, key.data, key.length)
    # The command that came upon the key may have changed others before; that is still to be written.
    node.effects.seen = seen + 1


cdef void effects_member(Node* node, const Slice* member) noexcept nogil:
    """SPOP takes a member, which will be gone when its effect is written."""
    cdef char head[32]
    cdef int length
    cdef char* at
    if node.effects.consumers == 0:
        return
    length = snprintf(head, sizeof(head), b"$%zu\r\n", member.length)
    at = text_room(&node.effects.popped, length + member.length + 2)
    memcpy(at, head, length)
    memcpy(at + length, member.data, member.length)
    memcpy(at + length + member.length, b"\r\n", 2)
    node.effects.popped.length += length + member.length + 2
    node.effects.popped_count += 1


cdef void effects_follow(Call* call) noexcept nogil:
    """Write down what the command that was just executed has changed, if anything. Only where there are consumers."""
    cdef Node* node = call.node
    if node.changes != node.effects.seen:
        if call.row.effect != NULL:
            call.row.effect(call)
        else:
            effects_emit(node, call.database.number, call.argv, call.argc)
        node.effects.seen = node.changes
