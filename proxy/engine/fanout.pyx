# cython: language_level=3, boundscheck=False, wraparound=False, cdivision=True, initializedcheck=False
"""Fan-out: reading copies, judging them, filling them. See fanout.pxd."""

from libc.stdint cimport uint8_t, uint32_t, uint64_t
from libc.string cimport memchr, memcmp, memcpy, memset

from proxy.engine.connection cimport conn_for, pending_error
from proxy.engine.fans cimport TOMBSTONE_US, fan_name
from proxy.engine.fence cimport fence_away, fence_move
from proxy.engine.fetch cimport (
    fetch_holds, fetch_join, fetch_move, fetch_new, fetch_settle, fetch_shield, fetch_tell,
)
from proxy.engine.heat cimport (
    ROLE_COPY, ROLE_FILL, ROLE_TOMBSTONE, ROLE_VALUE, Fan, Fetch, Heat, Hold, HotKey, Place, heat_of, random_next,
)
from proxy.engine.hot cimport hot_find
from proxy.engine.marks cimport marks_quiet, quench_key_hash, quench_load_word
from proxy.engine.places cimport OUT_US, Chosen, place_asked, place_used, places_choose, places_retire
from proxy.engine.refusals cimport DONE, GO_ON, WAIT
from proxy.engine.route cimport home
from proxy.engine.tombstones cimport tombstone_set, tombstones_due
from proxy.engine.types cimport ERROR_NODE_DOWN, Client, Conn, Core, Node, Pending, Row
from proxy.wire.output cimport Output, output_append, output_bulk
from proxy.wire.reply cimport ReplyFrame, frame_reply, reply_reset
from proxy.wire.resp cimport Frame, read_number, write_number

cdef enum:
    MAGIC = 0x31464351         # "QCF1": what a copy begins with
    CAP = 8                    # votes for the request that is copied
    READS_A_WRITE = 2          # a key that is read less often than that between two writes is not copied
    ANSWER_US = 250000         # a copy that was not read by then is not waited for
    JOIN_US = 50000            # a read of a copy is joined while younger

cdef enum Found:               # what is in place of a copy
    VALID
    MISSING                    # nothing: it may be filled
    BURIED                     # a tombstone
    OTHER                      # another request's, or void: it is to end by itself
    FAILED                     # an error

cdef struct Header:            # a copy: this, the request, the reply
    uint32_t magic
    uint8_t protocol
    uint8_t zero[3]
    uint64_t process
    uint64_t marks
    uint64_t forgets
    uint64_t asked             # bytes of the request


cdef inline uint64_t process_of(Core* core) noexcept nogil:
    """A number that no other process has, and that does not tell the seed."""
    return quench_key_hash(core.peers.seed, b"process", 7)


cdef inline Fan* fan_of(Core* core, Conn* conn, uint64_t hash) noexcept nogil:
    cdef HotKey* key = hot_find(heat_of(core), conn.node.pool, hash)
    return NULL if key == NULL else key.fan


# -- reading ------------------------------------------------------------------------------------------------------------

cdef inline uint64_t request_hash(int protocol, int database, const char* data, size_t length) noexcept nogil:
    return quench_key_hash(<uint64_t> (protocol | database << 8), data, length) | 1


cdef bint elected(Fan* fan, uint64_t asked) noexcept nogil:
    """Is this the request that is copied? The one that is asked for most, as far as a count of one number can tell."""
    if fan.asked == asked:
        fan.votes += fan.votes < CAP
        return True
    if fan.votes:
        fan.votes -= 1
        return False
    fan.asked = asked
    fan.votes = 1
    return True


cdef inline bint worth(HotKey* key) noexcept nogil:
    return <uint64_t> key.write_rate * READS_A_WRITE <= key.read_rate


cdef inline uint32_t random_below(Core* core, uint32_t count) noexcept nogil:
    return <uint32_t> ((random_next(heat_of(core)) >> 33) % count)


cdef int fan_read(Core* core, Client* client, Row* row, Frame* frame, HotKey* key, uint64_t marks) noexcept nogil:
    """A read of a hot key that no copy in this engine answers: GO_ON sends it home."""
    cdef Fan* fan = key.fan
    cdef bint follows = client.fan_reads > 0 and client.fan_hash == key.hash
    cdef bint copied = elected(fan, request_hash(client.protocol, client.database, frame.data, frame.length))
    cdef Chosen chosen
    cdef Place* place
    cdef Fetch* fetch
    cdef uint32_t number, index
    cdef uint64_t forgets = quench_load_word(&core.peers.forgets)
    if fan.marks != marks or fan.forgets != forgets:
        fan.marks = marks
        fan.forgets = forgets
        fan.since_us = core.now_us
    if not copied or not marks_quiet(marks) or not worth(key):
        return WAIT if follows else GO_ON
    if not follows and (client.fan_reads or fence_away(client)):
        # One way at a time, so that its order is easily kept.
        return GO_ON
    places_choose(core, fan, client.protocol, client.database, &chosen)
    if follows:
        number = client.fan_place
    else:
        index = random_below(core, fan.wanted + 1)
        if index >= chosen.count:
            return GO_ON
        number = chosen.at[index]
    place = &fan.places[number]
    if core.now_us >= place.until_us:
        return WAIT if follows else GO_ON
    index = 0
    while index < chosen.count and chosen.at[index] != number:
        index += 1
    if index == chosen.count:
        return WAIT
    fetch = place.read
    if fetch == NULL or not same(core, fetch, client, frame, marks):
        fetch = send_read(core, client, row, frame, key, number, chosen.conns[index], marks)
        if fetch == NULL:
            return WAIT if follows else GO_ON
    core.row_stats[row.index].calls += 1
    core.counters.fan_out_reads += 1
    client.fan_reads += 1
    client.fan_hash = key.hash
    client.fan_place = <unsigned char> number
    fetch_join(core, fetch, client, True)
    return DONE


cdef bint same(Core* core, Fetch* fetch, Client* client, Frame* frame, uint64_t marks) noexcept nogil:
    """Does what this read brings answer the request, too? Nothing was written since it was sent."""
    return (fetch.asked == frame.length and fetch.protocol == client.protocol and fetch.database == client.database
            and fetch.marks == marks and fetch.forgets == quench_load_word(&core.peers.forgets)
            and core.now_us - fetch.sent_us < JOIN_US and memcmp(fetch + 1, frame.data, frame.length) == 0)


cdef Fetch* send_read(Core* core, Client* client, Row* row, Frame* frame, HotKey* key, uint32_t number, Conn* conn,
                      uint64_t marks) noexcept nogil:
    """Read the copy at a place; NULL when there is no home to turn to."""
    cdef Fan* fan = key.fan
    cdef int house = home(core, fan.pool, <const char*> (fan + 1), fan.length)
    cdef size_t before = conn.output.length
    cdef Fetch* fetch
    if house < 0:
        return NULL
    fetch = fetch_new(core, NULL, conn, row.index, client.protocol, client.database, frame.data, frame.length)
    fetch.marks = marks
    fetch_shield(fetch, key.rule, row, frame, fan.hash)
    fetch.place = <unsigned char> (number + 1)
    fetch.home = &fan.pool.nodes[house]
    fetch.next = heat_of(core).copy_reads
    heat_of(core).copy_reads = fetch
    fetch.pendings = 2
    fan.places[number].read = fetch
    output_append(&conn.output, &core.chunks, b"*2\r\n$3\r\nGET\r\n", 13)
    fan_name(core, fan, number, &conn.output)
    place_asked(core, conn, row.index, before, ROLE_COPY, fetch, 0)
    return fetch


cdef void end_read(Core* core, Fan* fan, Fetch* fetch) noexcept nogil:
    """It is known what comes of it: nobody may join any more."""
    cdef Fetch** place = &heat_of(core).copy_reads
    cdef uint32_t index
    while place[0] != fetch:
        place = &place[0].next
    place[0] = fetch.next
    fetch.next = NULL
    for index in range(fetch.waiters.count):
        fetch.waiters.list[index].client.fan_reads -= 1
    if fan != NULL and fan.places[fetch.place - 1].read == fetch:
        fan.places[fetch.place - 1].read = NULL
    fetch.over = 1


cdef Fetch* asked_home(Core* core, Fan* fan, Fetch* fetch) noexcept nogil:
    """No copy answers: a fetch of the key itself, to be sent, or NULL after an error was. `fetch` may be gone."""
    cdef HotKey* key = NULL
    cdef Node* node = fetch.home
    cdef Conn* conn = conn_for(core, node, fetch.protocol, fetch.database, 0)
    cdef Fetch* again
    cdef uint32_t index
    cdef Pending nobody
    if fan != NULL:
        fan.places[fetch.place - 1].missed_us = core.now_us
        fan.places[fetch.place - 1].until_us = 0
        key = hot_find(heat_of(core), fan.pool, fan.hash)
    end_read(core, fan, fetch)
    again = fetch_move(core, fetch, key, conn)
    for index in range(again.waiters.count):
        fence_move(again.waiters.list[index].client, again.waiters.list[index].slot, fetch.hash, again.order)
    fetch_settle(core, fetch)
    if not node.ejected and not conn.refusing:
        return again
    memset(&nobody, 0, sizeof(nobody))
    nobody.role = ROLE_VALUE
    nobody.cool = <uint64_t> again
    nobody.row = again.row
    nobody.start = <uint32_t> core.now_us
    if node.ejected:
        pending_error(core, conn, &nobody, ERROR_NODE_DOWN, b"it was ejected")
    else:
        pending_error(core, conn, &nobody, ERROR_NODE_DOWN, conn.why)
    again.pendings = 1
    fetch_settle(core, again)
    return NULL


cdef int judge(Core* core, Fan* fan, Fetch* fetch, const char* data, size_t size, const char** reply,
               size_t* length) noexcept nogil:
    """Found, by what GET brought; of a VALID copy, the reply."""
    cdef const char* line = <const char*> memchr(data, c'\n', size)
    cdef long long room = 0
    cdef Header header
    cdef ReplyFrame frame
    cdef Place* place
    if data[0] == c'_' or (data[0] == c'$' and data[1] == c'-'):
        return MISSING
    if data[0] != c'$' or fan == NULL or not read_number(data + 1, line - data - 2, &room):
        return FAILED
    line += 1
    if room == 1:
        return BURIED
    if room < <long long> sizeof(Header):
        return OTHER
    memcpy(&header, line, sizeof(Header))
    line += sizeof(Header)
    room -= sizeof(Header)
    if (header.magic != MAGIC or header.protocol != fetch.protocol or header.asked != fetch.asked
            or room <= <long long> fetch.asked or memcmp(line, fetch + 1, fetch.asked) != 0):
        return OTHER
    if header.process == process_of(core):
        if header.marks != fetch.marks or header.forgets != fetch.forgets:
            return OTHER
    elif (fan.marks != fetch.marks or fan.forgets != fetch.forgets
            or fetch.sent_us < fan.since_us + fan.life_us + TOMBSTONE_US):
        return OTHER
    place = &fan.places[fetch.place - 1]
    if place.missed_us and fetch.sent_us <= place.missed_us:
        # An earlier read of it was asked at home since: this one is not to be older.
        return OTHER
    reply[0] = line + fetch.asked
    length[0] = <size_t> room - fetch.asked
    reply_reset(&frame)
    if frame_reply(&frame, reply[0], length[0], length[0]) != 0 or frame.scanned != length[0]:
        return OTHER
    return VALID


cdef Fetch* read_answered(Core* core, Conn* conn, Fetch* fetch, const char* data, size_t size) noexcept nogil:
    """What GET brought. Returns what is to be asked at home, or NULL."""
    cdef Fan* fan = fan_of(core, conn, fetch.hash)
    cdef HotKey* key
    cdef const char* reply
    cdef size_t length
    cdef Place* place
    cdef int verdict = judge(core, fan, fetch, data, size, &reply, &length)
    if fan != NULL:
        place = &fan.places[fetch.place - 1]
        if verdict == VALID:
            key = hot_find(heat_of(core), fan.pool, fan.hash)
            key.hits += fetch.waiters.count
            key.bytes += length * fetch.waiters.count
            place_used(core, fan, place)
        elif verdict == BURIED or verdict == FAILED:
            place.retry_us = core.now_us + TOMBSTONE_US
        elif verdict == OTHER:
            place.retry_us = core.now_us + fan.life_us // 4
    if verdict != VALID:
        return asked_home(core, fan, fetch)
    core.counters.fan_out_hits += fetch.waiters.count
    end_read(core, fan, fetch)
    fetch_tell(core, fetch, reply, length)
    fetch_settle(core, fetch)
    return NULL


# -- filling ------------------------------------------------------------------------------------------------------------

cdef void fan_wants(Core* core, HotKey* key, Fetch* fetch) noexcept nogil:
    """Decide whether what this read of the key itself brings is to be copied to other nodes."""
    cdef Fan* fan = key.fan
    cdef Chosen chosen
    cdef Place* place
    cdef uint32_t index
    if fan == NULL or core.draining or not marks_quiet(fetch.marks) or not worth(key):
        return
    if fan.asked != request_hash(fetch.protocol, fetch.database, <const char*> (fetch + 1), fetch.asked):
        return
    places_choose(core, fan, fetch.protocol, fetch.database, &chosen)
    for index in range(chosen.count):
        place = &fan.places[chosen.at[index]]
        if core.now_us >= place.until_us and core.now_us >= place.retry_us:
            # Whoever writes from here on knows that there may be one.
            place_used(core, fan, place)
            fetch.filling = 1


cdef void fan_fill(Core* core, Fetch* fetch, const char* life) noexcept nogil:
    """The read of the key brought fetch.value, and PTTL `life`: set it where there is no copy."""
    cdef const char* end = <const char*> memchr(life, c'\r', 24)
    cdef long long left = 0
    cdef uint64_t most
    cdef Fan* fan = NULL if fetch.key == NULL else fetch.key.fan
    cdef Chosen chosen
    cdef Place* place
    cdef uint32_t index
    if not fetch.filling or fan == NULL or fetch.value == NULL or not fetch_holds(core, fetch):
        return
    if core.now_us - fetch.sent_us > TOMBSTONE_US // 2:
        return
    if life[0] != c':' or end == NULL or not read_number(life + 1, end - life - 1, &left) or left == -2 or left == 0:
        return
    most = fan.life_us // 1000
    if left > 0 and <uint64_t> left < most:
        most = <uint64_t> left
    fan.protocol = fetch.protocol
    fan.database = fetch.database
    places_choose(core, fan, fetch.protocol, fetch.database, &chosen)
    for index in range(chosen.count):
        place = &fan.places[chosen.at[index]]
        if core.now_us < place.until_us or core.now_us < place.retry_us:
            continue
        place.retry_us = core.now_us + TOMBSTONE_US
        place.filled_us = core.now_us + most * 1000
        place_used(core, fan, place)
        set_copy(core, fan, chosen.at[index], chosen.conns[index], fetch, most)


cdef void set_copy(Core* core, Fan* fan, uint32_t number, Conn* conn, Fetch* fetch, uint64_t life_ms) noexcept nogil:
    cdef Output* output = &conn.output
    cdef size_t before = output.length
    cdef char text[32]
    cdef Header header
    memset(&header, 0, sizeof(header))
    header.magic = MAGIC
    header.protocol = fetch.protocol
    header.process = process_of(core)
    header.marks = fetch.marks
    header.forgets = fetch.forgets
    header.asked = fetch.asked
    output_append(output, &core.chunks, b"*6\r\n$3\r\nSET\r\n", 13)
    fan_name(core, fan, number, output)
    text[0] = c'$'
    output_append(output, &core.chunks, text,
                  1 + write_number(text + 1, <long long> (sizeof(Header) + fetch.asked + fetch.length)))
    output_append(output, &core.chunks, <const char*> &header, sizeof(Header))
    output_append(output, &core.chunks, <const char*> (fetch + 1), fetch.asked)
    output_append(output, &core.chunks, fetch.value, fetch.length)
    output_append(output, &core.chunks, b"\r\n$2\r\nNX\r\n$2\r\nPX\r\n", 18)
    output_bulk(output, &core.chunks, text, write_number(text, <long long> life_ms) - 2)
    fetch.pendings += 1
    core.counters.fan_out_fills += 1
    place_asked(core, conn, fetch.row, before, ROLE_FILL, fetch, number)


cdef void filled(Core* core, Conn* conn, Fetch* fetch, uint32_t number, const char* data) noexcept nogil:
    """SET NX was answered: the copy is there, or something else was before it."""
    cdef Fan* fan = NULL if fetch.key == NULL else fetch.key.fan
    cdef Place* place
    if fan == NULL:
        return
    place = &fan.places[number]
    if data[0] == c'+':
        if fetch_holds(core, fetch):
            place.until_us = place.filled_us
    elif data[0] == c'-':
        place.retry_us = core.now_us + OUT_US
    else:
        # Somebody else's copy, or a tombstone: the next read will tell.
        place.until_us = core.now_us + fan.life_us // 2


# -- replies, and what is due ---------------------------------------------------------------------------------------------

cdef Fetch* fan_reply(Core* core, Conn* conn, Pending* pending, const char* data, size_t size) noexcept nogil:
    """The reply to a request of our own for copies. Returns a fetch to be sent to the key's home, or NULL."""
    cdef int role = pending.role
    cdef uint32_t part = pending.part
    cdef Fetch* fetch = <Fetch*> pending.cool
    cdef Fetch* again = NULL
    if role == ROLE_TOMBSTONE:
        tombstone_set(core, conn, <Hold*> pending.cool, data)
        return NULL
    if role == ROLE_FILL:
        filled(core, conn, fetch, part, data)
    elif not fetch.over:
        again = read_answered(core, conn, fetch, data, size)
    fetch_settle(core, fetch)
    return again


cdef Fetch* fans_due(Core* core) noexcept nogil:
    """Once a tick, until it returns NULL: the next read that its copy's node does not answer, to be sent home."""
    cdef Fetch* fetch = heat_of(core).copy_reads
    cdef Node* node
    while fetch != NULL:
        core.busy = 1
        if fetch.lost or core.now_us - fetch.sent_us > ANSWER_US:
            node = fetch.conn.node
            node.out_until_us = core.now_us + OUT_US
            fetch = asked_home(core, fan_of(core, fetch.conn, fetch.hash), fetch)
            if fetch != NULL:
                return fetch
            fetch = heat_of(core).copy_reads
            continue
        fetch = fetch.next
    tombstones_due(core)
    places_retire(core)
    return NULL
