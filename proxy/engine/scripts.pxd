# cython: language_level=3
"""Scripts: EVALSHA goes as EVAL to a node that is not known to hold the script. A branch off step 4 of a request's life.

A node that was restarted, or joined, knows no script. If it were to answer NOSCRIPT, the client would send the script
again behind what it has pipelined meanwhile: a reorder. So the engine keeps the bodies that the control plane tells it
of, and remembers by node which of them its process, by run_id, has answered for:

    body known, node holds it       EVALSHA as it came
    body known, else                EVAL with the body; once that is answered, the node holds it
    body unknown                    EVALSHA as it came: the node knows better

A node holds a script, too, when SCRIPT LOAD was answered by it: the control plane says so. In a transaction, whose
replies are not looked into, that is the only way to learn it.

The control plane tells of what SCRIPT LOAD and EVAL bring. One server would know a script, too, once it has run EVAL,
and clients rely on it: some send EVAL once and EVALSHA for ever. So an EVAL of a new body waits, as behind a pause,
and nothing else is done with it meanwhile; it is shared when all engines have it:

    EVAL, body not shared ── EVENT_SCRIPT ─►  control plane ── ORDER_LEARN ─► every engine
                                                            ◄─ ORDER_ECHO ──
                                                            ── ORDER_SHARED ─► every engine
    EVAL goes its usual way ◄── ORDER_GO_ON ──

How many new bodies are told of is limited, by client and in all: an application that makes up a new one for every call
names none by its digest, and must not be slowed down. Beyond that, or where the body is too long, EVAL goes on at once.

Requests that wait while a connection is lost may meet a younger process than they were meant for. They were refused
nowhere and promised nothing: the few EVALSHA among them may be answered with NOSCRIPT.
"""

from libc.stdint cimport int64_t, uint8_t, uint16_t, uint32_t

from proxy.engine.types cimport SCRIPTS, Client, Conn, Core, Node
from proxy.wire.output cimport Output
from proxy.wire.resp cimport Frame

cdef struct Script:
    uint32_t serial            # its number, from 1; 0: none here. Its place is serial & (SCRIPTS - 1)
    int pool                   # pools do not see each other's scripts
    uint16_t next              # place + 1 of the next in its chain; 0: the end
    uint16_t next_body         # likewise, in the chain of its body's hash
    uint8_t shared             # every engine has it
    uint32_t named             # its serial, once an EVALSHA has found it
    uint32_t hash              # of the body
    uint8_t digest[20]         # SHA1 of the body
    uint32_t length
    char* body                 # owned

cdef struct Scripts:
    Script places[SCRIPTS]
    uint16_t chains[SCRIPTS]   # by the digest's first bytes: place + 1 of the first; 0: empty
    uint16_t bodies[SCRIPTS]   # the same by the body's hash
    int64_t spent_us           # until when the bodies that were told of are paid for
    Output rewritten           # the request as EVAL; one contiguous chunk, good until the next one
    Frame frame


cdef void scripts_learn(Core* core, int pool, uint32_t serial, const char* data, size_t length) noexcept nogil
cdef void script_held(Core* core, Node* node, uint32_t serial, const char* run) noexcept nogil
cdef void script_shared(Core* core, uint32_t serial) noexcept nogil
cdef void scripts_forget(Core* core, uint32_t serial) noexcept nogil
cdef void scripts_free(Core* core) noexcept nogil
cdef bint script_taught(Core* core, Client* client, const Frame* frame) noexcept nogil
cdef void script_go_on(Core* core, Client* client) noexcept nogil
cdef Frame* script_frame(Core* core, Node* node, const Conn* conn, Frame* frame, uint32_t* serial) noexcept nogil
cdef void script_answered(Core* core, Conn* conn, uint32_t serial, const char* data) noexcept nogil
