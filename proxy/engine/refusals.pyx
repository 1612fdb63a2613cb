# cython: language_level=3, boundscheck=False, wraparound=False, cdivision=True, initializedcheck=False
"""Refusals: wording them. See refusals.pxd."""

from libc.string cimport memcpy, memset

from proxy.engine.slots cimport slot_say
from proxy.engine.texts cimport error_field, error_local, error_words
from proxy.engine.types cimport (
    ERROR_BACKLOG, ERROR_BLOCKED, ERROR_NO_NODE, ERROR_NO_SLOT, ERROR_TRANSACTION, ERROR_UNKNOWN_COMMAND, ERROR_UNKNOWN_SUBCOMMAND, ERROR_WATCHED,
    FIELD_ADDRESS, FIELD_ARGUMENTS, FIELD_COMMAND, FIELD_LIMIT, FIELD_NODE, FIELD_POOL, FIELD_REASON, Client, Core,
    ErrorArgs, Node, PoolLimits, Row,
)
from proxy.wire.resp cimport Frame, args_begin, args_next, write_number

cdef extern from "<string.h>" nogil:
    size_t strnlen(const char* text, size_t most)


cdef void doom(Client* client) noexcept nogil:
    if client.transaction != NULL:
        client.transaction.broken = 1


cdef long long limit_of(const PoolLimits* limits, int kind) noexcept nogil:
    """The limit that an error is about; 0: none."""
    if kind == ERROR_BACKLOG:
        return <long long> limits.backlog
    if kind == ERROR_BLOCKED:
        return limits.most_blocked
    if kind == ERROR_WATCHED:
        return limits.most_watching
    return <long long> limits.query_buffer if kind == ERROR_TRANSACTION else 0


cdef int refuse(Core* core, Client* client, Row* row, int kind, Node* node, const char* why) noexcept nogil:
    """Answer with an error of the proxy's own; the connection stays."""
    cdef ErrorArgs args
    cdef char number[32]
    cdef long long limit
    memset(&args, 0, sizeof(args))
    if kind == ERROR_NO_NODE and client.pool.cluster != NULL:
        kind = ERROR_NO_SLOT
    if row != NULL:
        core.row_stats[row.index].rejected += 1
        error_words(&args, FIELD_COMMAND, row.full_name)
    error_words(&args, FIELD_POOL, client.pool.name)
    if node != NULL:
        error_words(&args, FIELD_NODE, node.name)
        error_words(&args, FIELD_ADDRESS, node.address)
        if why != NULL:
            error_words(&args, FIELD_REASON, why)
    limit = limit_of(&client.pool.limits, kind)
    if limit:
        error_field(&args, FIELD_LIMIT, number, write_number(number, limit) - 2)
    error_local(core, client, kind, &args)
    doom(client)
    return DONE


cdef int unknown(Core* core, Client* client, Frame* frame) noexcept nogil:
    """Redis's words, with the first arguments quoted as Redis quotes them: a NUL ends what is shown of one."""
    cdef ErrorArgs args
    cdef char quoted[256]
    cdef size_t used = 0
    cdef const char* at = args_begin(frame)
    cdef const char* text
    cdef size_t length, shown
    cdef unsigned int index
    memset(&args, 0, sizeof(args))
    at = args_next(at, &text, &length)
    error_field(&args, FIELD_COMMAND, text, strnlen(text, length if length < 128 else 128))
    for index in range(1, frame.argc):
        if used >= 128:
            break
        at = args_next(at, &text, &length)
        shown = strnlen(text, length if length < 128 - used else 128 - used)
        quoted[used] = c'\''
        memcpy(quoted + used + 1, text, shown)
        quoted[used + 1 + shown] = c'\''
        quoted[used + 2 + shown] = c' '
        used += shown + 3
    error_field(&args, FIELD_ARGUMENTS, quoted, used)
    error_local(core, client, ERROR_UNKNOWN_COMMAND, &args)
    doom(client)
    return DONE


cdef int unknown_child(Core* core, Client* client, Frame* frame) noexcept nogil:
    cdef ErrorArgs args
    cdef const char* name = frame.data + frame.args[0].offset
    cdef char upper[32]
    cdef unsigned int index
    cdef unsigned int length = frame.args[0].length if frame.args[0].length < 32 else 32
    memset(&args, 0, sizeof(args))
    for index in range(length):
        upper[index] = name[index] - 32 if c'a' <= name[index] <= c'z' else name[index]
    error_field(&args, FIELD_COMMAND, upper, length)
    error_field(&args, FIELD_ARGUMENTS, frame.data + frame.args[1].offset,
                frame.args[1].length if frame.args[1].length < 128 else 128)
    error_local(core, client, ERROR_UNKNOWN_SUBCOMMAND, &args)
    doom(client)
    return DONE


cdef int refuse_text(Core* core, Client* client, Row* row, const char* text) noexcept nogil:
    """Refuse with a whole error reply."""
    core.row_stats[row.index].rejected += 1
    slot_say(core, client, text)
    doom(client)
    return DONE
