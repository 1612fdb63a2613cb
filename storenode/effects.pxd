# cython: language_level=3
"""Effects: the stream of what was changed, as commands in RESP, for whoever repeats it: the log, replicas.

A command that changed something is written down once it is done, in a form that gives the same result anywhere and at
any time (rewrites.pyx); keys that expire or are evicted are written down as DEL where it happens. SELECT appears where
the database changes, MULTI and EXEC around what belongs together. Nothing is written while nobody takes it.

A consumer is called with the next bytes of the stream, in pieces that may end anywhere; after effects_flush() it has
all of them, and the loop calls that at the end of every turn. What waits until then is at most EFFECTS_ROOM bytes;
longer arguments are handed on from where they lie. A consumer that begins somewhere calls effects_reselect(), so that
its part of the stream says which database it is about.
"""

from libc.stdint cimport uint64_t

from storenode.types cimport Call, Consumer, Database, Node, Slice

cdef enum:
    EFFECTS_ROOM = 64 << 10    # bytes gathered before they are handed on

cdef void effects_attach(Node* node, Consumer take, void* context) noexcept nogil
cdef void effects_detach(Node* node, Consumer take, void* context) noexcept nogil
cdef void effects_flush(Node* node) noexcept nogil
cdef void effects_reselect(Node* node) noexcept nogil
cdef void effects_begin(Node* node) noexcept nogil
cdef void effects_end(Node* node) noexcept nogil
cdef void effects_removed(Database* database, const Slice* key) noexcept nogil
cdef void effects_head(Node* node, int database, uint64_t argc) noexcept nogil
cdef void effects_argument(Node* node, const char* data, size_t length) noexcept nogil
cdef void effects_raw(Node* node, const char* data, size_t length) noexcept nogil
cdef void effects_follow(Call* call) noexcept nogil
cdef void effects_emit(Node* node, int database, const Slice* argv, int argc) noexcept nogil
cdef void effects_member(Node* node, const Slice* member) noexcept nogil


cdef inline uint64_t effects_offset(const Node* node) noexcept nogil:
    """Bytes of the stream since the start, those included that are still waiting to be handed on."""
    return node.effects.given + node.effects.length
