# cython: language_level=3, boundscheck=False, wraparound=False, cdivision=True, initializedcheck=False
"""Invalidation: the table of keys that clients may hold, and the messages. See invalidation.pxd.

Three differences from Redis, each on the safe side: with NOLOOP a client is still told of keys that expired or were
evicted while it was being served; SWAPDB invalidates everything; and the table never exceeds its limit.
"""

from libc.stdint cimport SIZE_MAX, uint32_t, uint64_t
from libc.stdio cimport snprintf
from libc.string cimport memcpy, memmove

from proxy.wire.output cimport Output, output_append, output_bulk
from proxy.wire.resp cimport read_number
from proxy.wire.system cimport monotonic_us
from storenode.connection cimport client_find
from storenode.delivery cimport output_for
from storenode.hash cimport hash_bytes
from storenode.heap cimport heap_bytes, heap_free, heap_new, heap_resize
from storenode.pick cimport table_random
from storenode.table cimport table_drain, table_find, table_fit, table_insert, table_remove, table_scan
from storenode.types cimport (
    NUMKEYS, TRACK_BCAST, TRACK_BROKEN, TRACK_CACHING, TRACK_NOLOOP, TRACK_OPTIN, TRACK_OPTOUT, TRACKED_MOST, Call,
    Client, Entry, Member, Node, Place, Slice,
)

cdef enum:
    IDS_DOUBLED_FROM = 4       # ids of a key from which room is made for half as many again
    EMPTY_MOST = 64            # keys without a client that one step of the sweep takes out
    SWEPT_A_CHECK = 64         # buckets between two looks at the clock


# -- messages ---------------------------------------------------------------------------------------------------------


cdef Output* begin_message(Node* node, Client* client, int* version) noexcept nogil:
    """The head of an invalidation for a tracking client, or for the one it redirects to; what has to follow is the
    array of keys, or a nil for all. NULL: it cannot be told. `version`: of the protocol there.

    In RESP2 only a client in subscribe mode can be told, as a message of a channel, and only by way of a redirection.
    """
    cdef Client* target = client
    cdef Output* output
    cdef char text[80]
    if client.redirect:
        target = client_find(node, client.redirect)
        if target == NULL:
            client.tracking |= TRACK_BROKEN
            if client.resp == 3 and not client.closing:
                output_append(output_for(node, client), &node.chunks, text, snprintf(
                    text, sizeof(text), b">2\r\n$21\r\ntracking-redir-broken\r\n:%llu\r\n",
                    <unsigned long long> client.redirect))
            return NULL
    if target.closing or (target.resp == 2 and (client.redirect == 0 or target.subscriptions == 0)):
        return NULL
    version[0] = target.resp
    output = output_for(node, target)
    if target.resp == 3:
        output_append(output, &node.chunks, b">2\r\n$10\r\ninvalidate\r\n", 21)
    else:
        output_append(output, &node.chunks, b"*3\r\n$7\r\nmessage\r\n$20\r\n__redis__:invalidate\r\n", 44)
    return output


cdef void send_key(Node* node, Client* client, const Slice* key) noexcept nogil:
    cdef int version
    cdef Output* output = begin_message(node, client, &version)
    if output != NULL:
        output_append(output, &node.chunks, b"*1\r\n", 4)
        output_bulk(output, &node.chunks, key.data, key.length)


cdef void send_all(Node* node, Client* client) noexcept nogil:
    """Tell that every key may have changed."""
    cdef int version
    cdef Output* output = begin_message(node, client, &version)
    if output != NULL and version == 3:
        output_append(output, &node.chunks, b"_\r\n", 3)
    elif output != NULL:
        output_append(output, &node.chunks, b"$-1\r\n", 5)


# -- the ids of a key -------------------------------------------------------------------------------------------------


cdef inline char* ids_of(Member* member) noexcept nogil:
    """They stand right behind the name, at any address."""
    return <char*> (member + 1) + member.key_length


cdef inline uint64_t id_at(Member* member, uint64_t index) noexcept nogil:
    cdef uint64_t id
    memcpy(&id, ids_of(member) + index * sizeof(uint64_t), sizeof(uint64_t))
    return id


cdef inline Client* tracker(Node* node, uint64_t id) noexcept nogil:
    """The client of that id, if it is to be told of keys that it has read."""
    cdef Client* client = client_find(node, id)
    if client == NULL or not client.tracking or client.tracking & TRACK_BCAST:
        return NULL
    return client


cdef void drop_strangers(Node* node, Member* member) noexcept nogil:
    """Forget the ids of clients that are gone or no longer track. The block stays as large as it is."""
    cdef uint64_t count = member.value_length // sizeof(uint64_t)
    cdef uint64_t kept = 0
    cdef uint64_t index, id
    for index in range(count):
        id = id_at(member, index)
        if tracker(node, id) != NULL:
            memcpy(ids_of(member) + kept * sizeof(uint64_t), &id, sizeof(uint64_t))
            kept += 1
    node.tracked_items -= count - kept
    member.value_length = <uint32_t> (kept * sizeof(uint64_t))


cdef uint64_t place_of(Member* member, uint64_t id) noexcept nogil:
    """Index of the first id that is not below this one."""
    cdef uint64_t low = 0
    cdef uint64_t high = member.value_length // sizeof(uint64_t)
    cdef uint64_t middle
    # Most often a client is the newest, or the only one.
    if high and id_at(member, high - 1) < id:
        return high
    while low < high:
        middle = (low + high) // 2
        if id_at(member, middle) < id:
            low = middle + 1
        else:
            high = middle
    return low


cdef void add_id(Node* node, Member* member, Place* place, uint64_t id) noexcept nogil:
    cdef uint64_t at = place_of(member, id)
    cdef uint64_t count = member.value_length // sizeof(uint64_t)
    cdef size_t size = sizeof(Member) + member.key_length + member.value_length + sizeof(uint64_t)
    if at < count and id_at(member, at) == id:
        return
    if size > heap_bytes(member) - sizeof(size_t):
        # Short-lived clients must not make it grow for ever: the dead give way first.
        drop_strangers(node, member)
        at = place_of(member, id)
        count = member.value_length // sizeof(uint64_t)
        size = sizeof(Member) + member.key_length + member.value_length + sizeof(uint64_t)
        if size + count * sizeof(uint64_t) // 4 > heap_bytes(member) - sizeof(size_t):
            size += (count // 2 if count >= IDS_DOUBLED_FROM else 0) * sizeof(uint64_t)
            member = <Member*> heap_resize(node, member, size)
            place.entry = <Entry*> member
            place.bucket.slots[place.slot] = member
    memmove(ids_of(member) + (at + 1) * sizeof(uint64_t), ids_of(member) + at * sizeof(uint64_t),
            (count - at) * sizeof(uint64_t))
    memcpy(ids_of(member) + at * sizeof(uint64_t), &id, sizeof(uint64_t))
    member.value_length += sizeof(uint64_t)
    node.tracked_items += 1


# -- the table --------------------------------------------------------------------------------------------------------


cdef void invalidation_open(Node* node) noexcept nogil:
    node.tracked.node = node
    node.tracked.head = sizeof(Member)


cdef void free_tracked(void* context, Entry* entry) noexcept nogil:
    """A table visitor."""
    heap_free(<Node*> context, entry)


cdef void invalidation_close(Node* node) noexcept nogil:
    """Forget every key, without a word to anybody."""
    cdef size_t budget = SIZE_MAX
    node.tracked.sweep = 0
    table_drain(&node.tracked, &budget, free_tracked, node)
    node.tracked_items = 0


cdef void forget(Node* node, Place* place) noexcept nogil:
    """Take a key out of the table."""
    cdef Entry* entry = table_remove(&node.tracked, place)
    node.tracked_items -= (<Member*> entry).value_length // sizeof(uint64_t)
    heap_free(node, entry)
    table_fit(&node.tracked)


cdef void tell(Node* node, Place* place, bint own) noexcept nogil:
    """Invalidate a key of the table for all its clients. `own`: by a write of the client being served."""
    cdef Member* member = <Member*> place.entry
    cdef Client* client
    cdef Slice name
    cdef uint64_t index
    name.data = <char*> (member + 1)
    name.length = member.key_length
    for index in range(member.value_length // sizeof(uint64_t)):
        client = tracker(node, id_at(member, index))
        if client != NULL and not (own and client == node.served and client.tracking & TRACK_NOLOOP):
            send_key(node, client, &name)
    forget(node, place)


cdef void invalidate_key(Node* node, const Slice* key, bint own) noexcept nogil:
    cdef Place place
    if node.tracked.count and table_find(&node.tracked, key.data, key.length,
                                         hash_bytes(key.data, key.length, node.seed), &place):
        tell(node, &place, own)


cdef void invalidate_all(Node* node) noexcept nogil:
    """Everything may have changed: tell every tracking client, in whatever mode, and forget what they have read."""
    cdef Client* client = node.clients
    while client != NULL:
        if client.tracking:
            send_all(node, client)
        client = client.next
    invalidation_close(node)


cdef void tracked_limit(Node* node) noexcept nogil:
    """Invalidate keys at random while there are more than the limit allows."""
    cdef Place place
    cdef uint64_t most = <uint64_t> node.settings[TRACKED_MOST]
    while most and node.tracked.count > most and table_random(&node.tracked, &place):
        tell(node, &place, False)


cdef void remember(Node* node, Client* client, const Slice* key) noexcept nogil:
    cdef uint64_t hashed = hash_bytes(key.data, key.length, node.seed)
    cdef uint64_t most = <uint64_t> node.settings[TRACKED_MOST]
    cdef Member* member
    cdef Place place
    if not table_find(&node.tracked, key.data, key.length, hashed, &place):
        if most and node.tracked.count >= most and table_random(&node.tracked, &place):
            tell(node, &place, False)
            table_find(&node.tracked, key.data, key.length, hashed, &place)
        member = <Member*> heap_new(node, sizeof(Member) + key.length + sizeof(uint64_t))
        member.key_length = <uint32_t> key.length
        member.value_length = 0
        memcpy(member + 1, key.data, key.length)
        table_insert(&node.tracked, <Entry*> member, &place)
    add_id(node, <Member*> place.entry, &place, client.id)


cdef void tracking_remember(Call* call) noexcept nogil:
    """The client has just been given the values of these keys, or their absence."""
    cdef int tracking = call.client.tracking
    cdef int first = call.row.first
    cdef int last = call.row.last
    cdef int step = call.row.step
    cdef int index
    cdef long long count
    if (tracking & TRACK_BCAST or (tracking & TRACK_OPTIN and not tracking & TRACK_CACHING)
            or (tracking & TRACK_OPTOUT and tracking & TRACK_CACHING)):
        return
    if call.row.flags & NUMKEYS:
        if not read_number(call.argv[1].data, call.argv[1].length, &count) or not 0 < count <= call.argc - 2:
            return
        first = 2
        last = <int> count + 1
        step = 1
    elif first == 0:
        return
    if last < 0:
        last += call.argc
    index = first
    while index <= last:
        remember(call.node, call.client, &call.argv[index])
        index += step


# -- sweeping out the dead --------------------------------------------------------------------------------------------


cdef struct Sweep:             # of one step
    Node* node
    Entry* empty[EMPTY_MOST]   # keys that nobody is to be told of
    int count


cdef void sweep_key(void* context, Entry* entry) noexcept nogil:
    """A table visitor."""
    cdef Sweep* sweep = <Sweep*> context
    drop_strangers(sweep.node, <Member*> entry)
    if entry.value_length == 0 and sweep.count < EMPTY_MOST:
        sweep.empty[sweep.count] = entry
        sweep.count += 1


cdef bint tracked_sweep(Node* node, uint64_t deadline_us) noexcept nogil:
    """Go on sweeping out the ids of clients that have gone, until the deadline (monotonic). True: there is more.

    One pass through the table follows after the last of them has gone; without departures it costs one test.
    """
    cdef Sweep sweep
    cdef Member* member
    cdef Place place
    cdef int index
    cdef int steps = 0
    sweep.node = node
    while node.tracked_pass or node.tracked_gone:
        if node.tracked_cursor == 0 and not node.tracked_pass:
            node.tracked_pass = True
            node.tracked_gone = False
        sweep.count = 0
        node.tracked_cursor = table_scan(&node.tracked, node.tracked_cursor, sweep_key, &sweep)
        for index in range(sweep.count):
            member = <Member*> sweep.empty[index]
            if table_find(&node.tracked, <char*> (member + 1), member.key_length,
                          hash_bytes(<char*> (member + 1), member.key_length, node.seed), &place):
                forget(node, &place)
        if node.tracked_cursor == 0:
            node.tracked_pass = False
        steps += 1
        if steps % SWEPT_A_CHECK == 0 and monotonic_us() > deadline_us:
            return True
    return False
