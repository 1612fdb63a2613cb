# cython: language_level=3
"""Channels: who is subscribed to what, and handing a message to all of them.

    Node.channels[kind]   a Dict: Channel ── Subscription ── Client      of one kind: names, patterns or shard channels
                                              one for a client and a channel, in a list of each

A channel is there as long as it has a subscriber. Ending a client costs as much as it has subscriptions.
"""

from libc.stdint cimport uint64_t

from storenode.types cimport Channel, Client, Node, Slice, Subscription

cdef void channels_open(Node* node) noexcept nogil
cdef Channel* channel_find(Node* node, int kind, const Slice* name) noexcept nogil
cdef void subscription_add(Node* node, Client* client, int kind, const Slice* name) noexcept nogil
cdef bint subscription_end(Node* node, Client* client, int kind, const Slice* name) noexcept nogil
cdef void subscription_free(Node* node, Subscription* subscription) noexcept nogil
cdef void subscriptions_end(Node* node, Client* client) noexcept nogil
cdef uint64_t channels_deliver(Node* node, int kind, const Slice* name, const Slice* message, bint at_once) noexcept nogil


cdef inline Slice channel_name(const Channel* channel) noexcept nogil:
    cdef Slice name
    name.data = <const char*> (channel + 1)
    name.length = channel.key_length
    return name
