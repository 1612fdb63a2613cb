# cython: language_level=3, boundscheck=False, wraparound=False, cdivision=True, initializedcheck=False
"""Broadcast: prefixes, the keys gathered for them, the messages. See broadcast.pxd."""

from libc.stdint cimport SIZE_MAX, uint32_t, uint64_t
from libc.stdlib cimport qsort
from libc.string cimport memcmp, memcpy, memset

from proxy.wire.output cimport Output, output_bulk, output_number
from storenode.hash cimport hash_bytes
from storenode.heap cimport heap_free, heap_new
from storenode.invalidation cimport begin_message
from storenode.parcel cimport Parcel, parcel_close, parcel_open, parcel_seal, parcel_send
from storenode.table cimport Walk, table_drain, table_find, table_insert, table_next, table_walk
from storenode.types cimport TRACK_NOLOOP, Client, Entry, Follower, Member, Node, Place, Prefix, Slice


cdef inline int compare(const char* one, size_t length, const char* other, size_t other_length) noexcept nogil:
    """As bytes; a prefix comes before what it begins."""
    cdef int order = memcmp(one, other, length if length < other_length else other_length)
    if order:
        return order
    return (length > other_length) - (length < other_length)


cdef inline bint begins(const Slice* prefix, const Slice* text) noexcept nogil:
    return prefix.length <= text.length and memcmp(prefix.data, text.data, prefix.length) == 0


# -- prefixes ---------------------------------------------------------------------------------------------------------


cdef bint prefix_overlaps(Client* client, const Slice* name, Slice* other) noexcept nogil:
    """Does `name` begin with a prefix of the client, or the other way round? `other` is then that prefix."""
    cdef Follower* follower = client.prefixes
    while follower != NULL:
        other[0] = prefix_name(follower.prefix)
        if begins(other, name) or begins(name, other):
            return True
        follower = follower.next_of_client
    return False


cdef Prefix* prefix_open(Node* node, const Slice* name) noexcept nogil:
    """The prefix of that name, made if it is not there."""
    cdef Prefix** at = &node.prefixes
    cdef Prefix* prefix
    cdef int order
    while at[0] != NULL:
        order = compare(<const char*> (at[0] + 1), at[0].length, name.data, name.length)
        if order == 0:
            return at[0]
        if order > 0:
            break
        at = &at[0].next
    prefix = <Prefix*> heap_new(node, sizeof(Prefix) + name.length)
    memset(prefix, 0, sizeof(Prefix))
    prefix.changed.node = node
    prefix.changed.head = sizeof(Member)
    prefix.length = <uint32_t> name.length
    memcpy(prefix + 1, name.data, name.length)
    prefix.next = at[0]
    at[0] = prefix
    node.prefix_count += 1
    return prefix


cdef void prefix_add(Node* node, Client* client, const Slice* name) noexcept nogil:
    """The client wants to hear of keys that begin so. Nothing happens if it does already."""
    cdef Prefix* prefix = prefix_open(node, name)
    cdef Follower** at = &client.prefixes
    cdef Follower* follower
    # A client's own prefixes are kept in order, too: CLIENT TRACKINGINFO shows them.
    while at[0] != NULL and compare(<const char*> (at[0].prefix + 1), at[0].prefix.length, name.data, name.length) < 0:
        at = &at[0].next_of_client
    if at[0] != NULL and at[0].prefix == prefix:
        return
    follower = <Follower*> heap_new(node, sizeof(Follower))
    follower.client = client
    follower.prefix = prefix
    follower.next_of_client = at[0]
    at[0] = follower
    follower.previous = NULL
    follower.next = prefix.followers
    if prefix.followers != NULL:
        prefix.followers.previous = follower
    prefix.followers = follower


cdef void free_changed(void* context, Entry* entry) noexcept nogil:
    """A table visitor."""
    heap_free(<Node*> context, entry)


cdef void forget_changed(Node* node, Prefix* prefix) noexcept nogil:
    cdef size_t budget = SIZE_MAX
    prefix.changed.sweep = 0
    table_drain(&prefix.changed, &budget, free_changed, node)


cdef void prefix_close(Node* node, Prefix* prefix) noexcept nogil:
    cdef Prefix** at = &node.prefixes
    while at[0] != prefix:
        at = &at[0].next
    at[0] = prefix.next
    node.prefix_count -= 1
    forget_changed(node, prefix)
    heap_free(node, prefix)


cdef void prefixes_leave(Node* node, Client* client) noexcept nogil:
    """The client wants to hear of nothing any more."""
    cdef Follower* follower
    while client.prefixes != NULL:
        follower = client.prefixes
        client.prefixes = follower.next_of_client
        if follower.next != NULL:
            follower.next.previous = follower.previous
        if follower.previous != NULL:
            follower.previous.next = follower.next
        else:
            follower.prefix.followers = follower.next
        if follower.prefix.followers == NULL:
            prefix_close(node, follower.prefix)
        heap_free(node, follower)


# -- messages ---------------------------------------------------------------------------------------------------------


cdef void gather(Node* node, Prefix* prefix, const Slice* key, uint64_t writer) noexcept nogil:
    """Add a key to what the prefix has to tell; the first who wrote it in this turn stays its writer."""
    cdef Place place
    cdef Member* member
    if table_find(&prefix.changed, key.data, key.length, hash_bytes(key.data, key.length, node.seed), &place):
        return
    member = <Member*> heap_new(node, sizeof(Member) + key.length + sizeof(uint64_t))
    member.key_length = <uint32_t> key.length
    member.value_length = sizeof(uint64_t)
    memcpy(member + 1, key.data, key.length)
    memcpy(<char*> (member + 1) + key.length, &writer, sizeof(uint64_t))
    table_insert(&prefix.changed, <Entry*> member, &place)
    node.broadcasts = True


cdef void broadcast_key(Node* node, const Slice* key, Client* writer) noexcept nogil:
    """A key has changed. writer: whose command did it, NULL for nobody's."""
    cdef Prefix* prefix = node.prefixes
    cdef Slice name
    while prefix != NULL:
        name = prefix_name(prefix)
        if begins(&name, key):
            gather(node, prefix, key, writer.id if writer != NULL else 0)
        elif compare(name.data, name.length, key.data, key.length) > 0:
            break
        prefix = prefix.next


cdef int by_name(const void* one, const void* other) noexcept nogil:
    cdef const Member* first = (<const Member**> one)[0]
    cdef const Member* second = (<const Member**> other)[0]
    return compare(<const char*> (first + 1), first.key_length, <const char*> (second + 1), second.key_length)


cdef uint64_t writer_of(const Member* member) noexcept nogil:
    cdef uint64_t id
    memcpy(&id, <const char*> (member + 1) + member.key_length, sizeof(uint64_t))
    return id


cdef void write_keys(Node* node, Member** keys, uint64_t count, uint64_t without, Output* output) noexcept nogil:
    """The array of keys as RESP, but for those that the client `without` (an id; 0: nobody) wrote.

    Nothing if none is left."""
    cdef uint64_t kept = 0
    cdef uint64_t index
    for index in range(count):
        kept += without == 0 or writer_of(keys[index]) != without
    if kept == 0:
        return
    output_number(output, &node.chunks, c'*', <long long> kept)
    for index in range(count):
        if without == 0 or writer_of(keys[index]) != without:
            output_bulk(output, &node.chunks, <char*> (keys[index] + 1), keys[index].key_length)


cdef void send_changed(Node* node, Prefix* prefix) noexcept nogil:
    """One message to each client of a prefix. A long one is put together and held once, not once a client."""
    cdef uint64_t count = prefix.changed.count
    cdef Member** keys = <Member**> heap_new(node, count * sizeof(void*))
    cdef Follower* follower = prefix.followers
    cdef Parcel whole, own
    cdef Parcel* parcel
    cdef Output* output
    cdef Walk walk
    cdef uint64_t index
    cdef int version
    table_walk(&prefix.changed, &walk)
    for index in range(count):
        keys[index] = <Member*> table_next(&walk)
    qsort(keys, count, sizeof(void*), by_name)
    parcel_open(&whole)
    write_keys(node, keys, count, 0, &whole.text)
    parcel_seal(node, &whole)
    while follower != NULL:
        parcel = &whole
        if follower.client.tracking & TRACK_NOLOOP:
            parcel = &own
            parcel_open(parcel)
            write_keys(node, keys, count, follower.client.id, &own.text)
            parcel_seal(node, parcel)
        if parcel.text.length:
            output = begin_message(node, follower.client, &version)
            if output != NULL:
                parcel_send(node, parcel, output)
        if parcel == &own:
            parcel_close(node, parcel)
        follower = follower.next
    parcel_close(node, &whole)
    heap_free(node, keys)
    forget_changed(node, prefix)


cdef void broadcast_send(Node* node) noexcept nogil:
    """Tell what was gathered in this turn."""
    cdef Prefix* prefix = node.prefixes
    node.broadcasts = False
    while prefix != NULL:
        if prefix.changed.count:
            send_changed(node, prefix)
        prefix = prefix.next
