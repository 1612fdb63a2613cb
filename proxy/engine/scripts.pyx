# cython: language_level=3, boundscheck=False, wraparound=False, cdivision=True, initializedcheck=False
"""Scripts: bodies by digest, and who holds them. See scripts.pxd.

Which scripts are kept, and how many bytes of them, the control plane decides (proxy/lanes/scripts.py); here a new one
takes the place that its serial names. Nothing is allocated before the first one. Only the rows of EVAL and EVALSHA come
here. An EVAL of a shared body costs its hash, about 1 ns for four bytes, and its comparison with what is kept.
"""

from libc.stdint cimport int64_t, uint8_t, uint16_t, uint32_t, uint64_t
from libc.stdlib cimport abort, calloc, free, malloc
from libc.string cimport memcmp, memcpy, memset

from proxy.engine.hashes cimport murmur
from proxy.engine.mail cimport event_post
from proxy.engine.slots cimport client_ready, client_release
from proxy.engine.types cimport (
    CLIENT_TEACHING, CONN_OPEN, DEAD, EVENT_SCRIPT, SCRIPTS, Client, Conn, Core, Node,
)
from proxy.wire.output cimport Output, output_append, output_bulk, output_clear, output_number, output_room
from proxy.wire.resp cimport Frame

cdef enum:
    DIGEST = 20                # bytes; twice as many hex digits in a request
    EVALSHA_LENGTH = 7         # EVALSHA, or EVALSHA_RO
    LONGEST = 1048576          # bytes of a body that EVAL teaches
    CREDIT_US = 10000000       # what new bodies may cost that come at once
    CLIENT_PRICE_US = 20000    # of a new body, to its client: 500 at once, 50 a second in the long run
    ENGINE_PRICE_US = 5000     # to all clients of the engine: four such clients leave nothing for others
    PRICED = 16384             # bytes that cost as much again


cdef inline uint16_t* chain_of(Scripts* scripts, const uint8_t* digest) noexcept nogil:
    return &scripts.chains[(digest[0] | <uint32_t> digest[1] << 8) & (SCRIPTS - 1)]


cdef inline uint32_t body_hash(int pool, const char* body, size_t length) noexcept nogil:
    return murmur(<const unsigned char*> body, length) + <uint32_t> pool


cdef Scripts* scripts_of(Core* core) noexcept nogil:
    cdef Scripts* scripts = <Scripts*> core.scripts
    if scripts == NULL:
        scripts = <Scripts*> calloc(1, sizeof(Scripts))
        if scripts == NULL:
            abort()
        core.scripts = scripts
    return scripts


cdef void scripts_learn(Core* core, int pool, uint32_t serial, const char* data, size_t length) noexcept nogil:
    """Keep script number `serial` of a pool; `data` is its digest, then its body."""
    cdef Scripts* scripts = scripts_of(core)
    cdef uint32_t place = serial & (SCRIPTS - 1)
    cdef Script* script
    cdef uint16_t* chain
    cdef int index, node
    script = &scripts.places[place]
    if script.serial:
        scripts_forget(core, script.serial)
    memcpy(script.digest, data, DIGEST)
    script.length = <uint32_t> (length - DIGEST)
    script.body = <char*> malloc(script.length + 1)
    if script.body == NULL:
        abort()
    memcpy(script.body, data + DIGEST, script.length)
    script.serial = serial
    script.pool = pool
    chain = chain_of(scripts, script.digest)
    script.next = chain[0]
    chain[0] = <uint16_t> (place + 1)
    script.hash = body_hash(pool, script.body, script.length)
    chain = &scripts.bodies[script.hash & (SCRIPTS - 1)]
    script.next_body = chain[0]
    chain[0] = <uint16_t> (place + 1)
    for index in range(core.pool_count):
        for node in range(core.pools[index].node_count):
            core.pools[index].nodes[node].scripts[place >> 3] &= <uint8_t> ~(1 << (place & 7))


cdef void script_held(Core* core, Node* node, uint32_t serial, const char* run) noexcept nogil:
    """The process `run` (a run_id of 41 bytes) behind a node holds script number `serial`."""
    cdef Scripts* scripts = <Scripts*> core.scripts
    cdef uint32_t place = serial & (SCRIPTS - 1)
    if scripts == NULL or scripts.places[place].serial != serial or run[0] == 0:
        return
    if memcmp(run, node.scripts_run, sizeof(node.scripts_run)) != 0:
        memset(node.scripts, 0, sizeof(node.scripts))
        memcpy(node.scripts_run, run, sizeof(node.scripts_run))
    node.scripts[place >> 3] |= <uint8_t> (1 << (place & 7))


cdef void script_shared(Core* core, uint32_t serial) noexcept nogil:
    """Every engine has script number `serial`."""
    cdef Scripts* scripts = <Scripts*> core.scripts
    if scripts != NULL and scripts.places[serial & (SCRIPTS - 1)].serial == serial:
        scripts.places[serial & (SCRIPTS - 1)].shared = 1


cdef void scripts_forget(Core* core, uint32_t serial) noexcept nogil:
    """Script number `serial` is not sent any more; it may be gone already."""
    cdef Scripts* scripts = <Scripts*> core.scripts
    cdef uint32_t place = serial & (SCRIPTS - 1)
    cdef Script* script
    cdef uint16_t* link
    if scripts == NULL or scripts.places[place].serial != serial:
        return
    script = &scripts.places[place]
    link = chain_of(scripts, script.digest)
    while link[0] != place + 1:
        link = &scripts.places[link[0] - 1].next
    link[0] = script.next
    link = &scripts.bodies[script.hash & (SCRIPTS - 1)]
    while link[0] != place + 1:
        link = &scripts.places[link[0] - 1].next_body
    link[0] = script.next_body
    free(script.body)
    memset(script, 0, sizeof(Script))


cdef void scripts_free(Core* core) noexcept nogil:
    """End of the engine."""
    cdef Scripts* scripts = <Scripts*> core.scripts
    cdef int place
    if scripts == NULL:
        return
    for place in range(SCRIPTS):
        free(scripts.places[place].body)
    output_clear(&scripts.rewritten, &core.chunks)
    free(scripts)
    core.scripts = NULL


# -- EVAL -------------------------------------------------------------------------------------------------------------

cdef bint script_taught(Core* core, Client* client, const Frame* frame) noexcept nogil:
    """May this EVAL start? If its body is new, all engines are told of it first. No request asks for that twice."""
    cdef uint64_t number = client.commands + 1
    cdef Scripts* scripts
    cdef const char* body = frame.data + frame.args[1].offset
    cdef size_t length = frame.args[1].length
    if client.taught == number:
        return not client.flags & CLIENT_TEACHING
    if length > LONGEST:
        return True
    scripts = scripts_of(core)
    if shared(scripts, client.pool.index, body, length) or not affordable(scripts, client, core.now_us, length):
        return True
    if not event_post(core, EVENT_SCRIPT, client.pool.index, 0, 0, client, 0, client.id, body, length):
        return True
    client.taught = number
    client.flags |= CLIENT_TEACHING
    client.references += 1
    return False


cdef void script_go_on(Core* core, Client* client) noexcept nogil:
    """The script of this client's EVAL was seen to, one way or another; the client may have left meanwhile."""
    client.flags &= ~(<uint32_t> CLIENT_TEACHING)
    if client.handle.kind != DEAD:
        client_ready(core, client)
    client_release(core, client)


cdef bint shared(const Scripts* scripts, int pool, const char* body, size_t length) noexcept nogil:
    """Does every engine have this body?"""
    cdef uint32_t hash = body_hash(pool, body, length)
    cdef uint16_t place = scripts.bodies[hash & (SCRIPTS - 1)]
    cdef const Script* script
    while place:
        script = &scripts.places[place - 1]
        if (script.hash == hash and script.pool == pool and script.length == length
                and memcmp(script.body, body, length) == 0):
            return script.shared
        place = script.next_body
    return False


cdef bint affordable(Scripts* scripts, Client* client, uint64_t now_us, size_t length) noexcept nogil:
    """Pay for telling of one more body, unless that takes more than CREDIT_US: two token buckets, each kept as the time
    when it is full again."""
    cdef int64_t now = <int64_t> now_us
    cdef int64_t units = 1 + <int64_t> (length // PRICED)
    cdef int64_t ours = (scripts.spent_us if scripts.spent_us > now else now) + units * ENGINE_PRICE_US
    cdef int64_t its = (client.spent_us if client.spent_us > now else now) + units * CLIENT_PRICE_US
    if ours > now + CREDIT_US or its > now + CREDIT_US:
        return False
    scripts.spent_us = ours
    client.spent_us = its
    return True


# -- EVALSHA ----------------------------------------------------------------------------------------------------------

cdef inline int hexadecimal(char byte) noexcept nogil:
    if c'0' <= byte <= c'9':
        return byte - c'0'
    byte |= 32
    if c'a' <= byte <= c'f':
        return byte - c'a' + 10
    return -1


cdef Script* find(Scripts* scripts, int pool, const char* text, size_t length) noexcept nogil:
    """The script with this digest, in hex digits of either case as Redis takes them; NULL if it is not here."""
    cdef uint8_t digest[DIGEST]
    cdef Script* script
    cdef uint16_t place
    cdef int index, high, low
    if length != 2 * DIGEST:
        return NULL
    for index in range(DIGEST):
        high = hexadecimal(text[2 * index])
        low = hexadecimal(text[2 * index + 1])
        if high < 0 or low < 0:
            return NULL
        digest[index] = <uint8_t> (high << 4 | low)
    place = chain_of(scripts, digest)[0]
    while place:
        script = &scripts.places[place - 1]
        if script.pool == pool and memcmp(script.digest, digest, DIGEST) == 0:
            return script
        place = script.next
    return NULL


cdef inline bint holds(const Node* node, const Conn* conn, uint32_t place) noexcept nogil:
    """Has the process behind this connection answered for the script?"""
    return (conn != NULL and conn.state == CONN_OPEN and node.scripts[place >> 3] >> (place & 7) & 1
            and memcmp(conn.run, node.scripts_run, sizeof(conn.run)) == 0)


cdef Frame* script_frame(Core* core, Node* node, const Conn* conn, Frame* frame, uint32_t* serial) noexcept nogil:
    """The request to be sent for an EVALSHA: `frame`, or one with the body in it, good for nothing but sending.

    `conn` is the connection that will take it (NULL: a new one). `serial` is set to the script's number, for
    script_answered(), or 0 where the body is not known.
    """
    cdef Scripts* scripts = <Scripts*> core.scripts
    cdef Script* script = NULL
    cdef Output* target
    cdef size_t rest
    cdef bint read_only
    serial[0] = 0
    if scripts != NULL:
        script = find(scripts, node.pool.index, frame.data + frame.args[1].offset, frame.args[1].length)
    if script == NULL:
        return frame
    script.named = script.serial
    serial[0] = script.serial
    if holds(node, conn, script.serial & (SCRIPTS - 1)):
        return frame
    target = &scripts.rewritten
    output_clear(target, &core.chunks)
    rest = frame.args[1].offset + frame.args[1].length + 2
    read_only = frame.args[0].length > EVALSHA_LENGTH
    output_room(target, &core.chunks, frame.length + script.length + 64)
    output_number(target, &core.chunks, c'*', frame.argc)
    output_bulk(target, &core.chunks, b"EVAL_RO" if read_only else b"EVAL", 7 if read_only else 4)
    output_bulk(target, &core.chunks, script.body, script.length)
    output_append(target, &core.chunks, frame.data + rest, frame.length - rest)
    scripts.frame.data = target.first.data + target.first.head
    scripts.frame.length = target.length
    scripts.frame.argc = frame.argc
    return &scripts.frame


cdef void script_answered(Core* core, Conn* conn, uint32_t serial, const char* data) noexcept nogil:
    """The node's reply to a script that went as script_frame() said; 0: it had nothing to say.

    A reply that is no error proves that the node holds the script. An error proves nothing (the body may not compile,
    the node may be loading), but for NOSCRIPT: somebody flushed the node's scripts.
    """
    cdef Scripts* scripts = <Scripts*> core.scripts
    cdef Node* node = conn.node
    cdef uint32_t place = serial & (SCRIPTS - 1)
    if serial == 0 or scripts.places[place].serial != serial:
        return
    if data[0] == c'-':
        if memcmp(data, b"-NOSCRIPT", 9) == 0:
            node.scripts[place >> 3] &= <uint8_t> ~(1 << (place & 7))
        return
    script_held(core, node, serial, conn.run)
