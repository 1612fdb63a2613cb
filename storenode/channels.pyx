# cython: language_level=3, boundscheck=False, wraparound=False, cdivision=True, initializedcheck=False
"""Channels: subscribing, leaving, delivering. See channels.pxd."""

from libc.stdint cimport uint32_t, uint64_t
from libc.string cimport memcpy, memset

from proxy.wire.glob cimport glob_match
from proxy.wire.output cimport Output, output_append, output_bulk
from storenode.delivery cimport output_for
from storenode.hash cimport hash_bytes
from storenode.heap cimport heap_free, heap_new
from storenode.parcel cimport Parcel, parcel_close, parcel_open, parcel_seal, parcel_send
from storenode.table cimport Walk, table_find, table_fit, table_insert, table_next, table_remove, table_walk
from storenode.types cimport (
    CHANNEL, CHANNEL_KINDS, PATTERN, SHARD, Channel, Client, Entry, Node, Place, Slice, Subscription,
)


cdef void channels_open(Node* node) noexcept nogil:
    cdef int kind
    for kind in range(CHANNEL_KINDS):
        node.channels[kind].node = node
        node.channels[kind].head = sizeof(Channel)


cdef bint find(Node* node, int kind, const Slice* name, Place* place) noexcept nogil:
    return table_find(&node.channels[kind], name.data, name.length, hash_bytes(name.data, name.length, node.seed), place)


cdef Channel* channel_find(Node* node, int kind, const Slice* name) noexcept nogil:
    """NULL: nobody is subscribed to it."""
    cdef Place place
    if node.channels[kind].count == 0 or not find(node, kind, name, &place):
        return NULL
    return <Channel*> place.entry


cdef Subscription* subscription_of(Client* client, int kind, Channel* channel) noexcept nogil:
    """Found from both sides at once: a client of many channels, or a channel of many clients, costs no more than the
    shorter list."""
    cdef Subscription* here = channel.first
    cdef Subscription* there = client.subscribed[kind]
    while here != NULL and there != NULL:
        if here.client == client:
            return here
        if there.channel == channel:
            return there
        here = here.next
        there = there.sibling
    return NULL


cdef void subscription_add(Node* node, Client* client, int kind, const Slice* name) noexcept nogil:
    """Nothing happens if the client is subscribed already."""
    cdef Subscription* subscription
    cdef Channel* channel
    cdef Place place
    if find(node, kind, name, &place):
        channel = <Channel*> place.entry
        if subscription_of(client, kind, channel) != NULL:
            return
    else:
        channel = <Channel*> heap_new(node, sizeof(Channel) + name.length)
        memset(channel, 0, sizeof(Channel))
        channel.key_length = <uint32_t> name.length
        channel.kind = kind
        memcpy(channel + 1, name.data, name.length)
        table_insert(&node.channels[kind], <Entry*> channel, &place)
    subscription = <Subscription*> heap_new(node, sizeof(Subscription))
    subscription.client = client
    subscription.channel = channel
    subscription.previous = NULL
    subscription.next = channel.first
    if channel.first != NULL:
        channel.first.previous = subscription
    channel.first = subscription
    channel.count += 1
    subscription.elder = NULL
    subscription.sibling = client.subscribed[kind]
    if subscription.sibling != NULL:
        subscription.sibling.elder = subscription
    client.subscribed[kind] = subscription
    client.subscribed_count[kind] += 1
    client.subscriptions += 1


cdef void subscription_free(Node* node, Subscription* subscription) noexcept nogil:
    """End one subscription, and its channel if nobody is left there."""
    cdef Channel* channel = subscription.channel
    cdef Client* client = subscription.client
    cdef int kind = channel.kind
    cdef Slice name
    cdef Place place
    if subscription.next != NULL:
        subscription.next.previous = subscription.previous
    if subscription.previous != NULL:
        subscription.previous.next = subscription.next
    else:
        channel.first = subscription.next
    if subscription.sibling != NULL:
        subscription.sibling.elder = subscription.elder
    if subscription.elder != NULL:
        subscription.elder.sibling = subscription.sibling
    else:
        client.subscribed[kind] = subscription.sibling
    client.subscribed_count[kind] -= 1
    client.subscriptions -= 1
    channel.count -= 1
    heap_free(node, subscription)
    if channel.first == NULL:
        name = channel_name(channel)
        if find(node, kind, &name, &place):
            heap_free(node, table_remove(&node.channels[kind], &place))
            table_fit(&node.channels[kind])


cdef bint subscription_end(Node* node, Client* client, int kind, const Slice* name) noexcept nogil:
    """False: the client was not subscribed."""
    cdef Channel* channel = channel_find(node, kind, name)
    cdef Subscription* subscription = NULL
    if channel != NULL:
        subscription = subscription_of(client, kind, channel)
    if subscription == NULL:
        return False
    subscription_free(node, subscription)
    return True


cdef void subscriptions_end(Node* node, Client* client) noexcept nogil:
    """The client is gone, or has been reset."""
    cdef int kind
    for kind in range(CHANNEL_KINDS):
        while client.subscribed[kind] != NULL:
            subscription_free(node, client.subscribed[kind])


# -- delivering -------------------------------------------------------------------------------------------------------


cdef void write_message(Node* node, Parcel* parcel, int version, const Channel* channel, const Slice* name,
                        const Slice* message) noexcept nogil:
    """A message as it arrives by way of a channel: its pattern is told, too."""
    cdef Output* text = &parcel.text
    output_append(text, &node.chunks, b">" if version == 3 else b"*", 1)
    if channel.kind == PATTERN:
        output_append(text, &node.chunks, b"4\r\n$8\r\npmessage\r\n", 17)
        output_bulk(text, &node.chunks, <const char*> (channel + 1), channel.key_length)
    elif channel.kind == SHARD:
        output_append(text, &node.chunks, b"3\r\n$8\r\nsmessage\r\n", 17)
    else:
        output_append(text, &node.chunks, b"3\r\n$7\r\nmessage\r\n", 16)
    output_bulk(text, &node.chunks, name.data, name.length)
    output_bulk(text, &node.chunks, message.data, message.length)
    parcel_seal(node, parcel)


cdef uint64_t deliver(Node* node, Channel* channel, const Slice* name, const Slice* message, bint at_once) noexcept nogil:
    cdef Subscription* subscription = channel.first
    cdef Client* client
    cdef Output* output
    cdef Parcel parcels[2]     # for RESP2 and for RESP3
    cdef Parcel* parcel
    parcel_open(&parcels[0])
    parcel_open(&parcels[1])
    while subscription != NULL:
        client = subscription.client
        subscription = subscription.next
        if client.closing:
            continue
        parcel = &parcels[client.resp - 2]
        if parcel.text.length == 0:
            write_message(node, parcel, client.resp, channel, name, message)
        output = node.call.output if at_once and client == node.served else output_for(node, client)
        parcel_send(node, parcel, output)
    parcel_close(node, &parcels[0])
    parcel_close(node, &parcels[1])
    return channel.count


cdef uint64_t channels_deliver(Node* node, int kind, const Slice* name, const Slice* message, bint at_once) noexcept nogil:
    """Hand a message to the subscribers of a channel and, unless it is a shard's, of the patterns that match its name;
    returns how many times. at_once: to the client being served before its reply, else behind it."""
    cdef Channel* channel = channel_find(node, kind, name)
    cdef uint64_t receivers = 0
    cdef Walk walk
    if channel != NULL:
        receivers = deliver(node, channel, name, message, at_once)
    if kind == CHANNEL and node.channels[PATTERN].count:
        table_walk(&node.channels[PATTERN], &walk)
        channel = <Channel*> table_next(&walk)
        while channel != NULL:
            if glob_match(<const char*> (channel + 1), channel.key_length, name.data, name.length, False):
                receivers += deliver(node, channel, name, message, at_once)
            channel = <Channel*> table_next(&walk)
    return receivers
