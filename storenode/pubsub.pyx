# cython: language_level=3, boundscheck=False, wraparound=False, cdivision=True, initializedcheck=False
"""Pub/sub: the commands. See pubsub.pxd, and channels.pyx for what they work on.

A client in RESP2 that is subscribed to anything may only go on subscribing, PING, QUIT and RESET: execute.pyx sees to it.
"""

from libc.stdio cimport snprintf

from proxy.wire.glob cimport glob_match
from proxy.wire.output cimport Output
from storenode.answer cimport answer_array, answer_bulk, answer_error, answer_nil, answer_number, answer_raw, answer_text
from storenode.arguments cimport copy_text
from storenode.channels cimport (
    channel_find, channel_name, channels_deliver, subscription_add, subscription_end, subscription_free,
)
from storenode.replication cimport replication_tell
from storenode.table cimport Walk, table_next, table_walk
from storenode.types cimport CHANNEL, CHANNEL_KINDS, PATTERN, SHARD, Call, Channel, Client, Slice

cdef enum:
    SHOWN = 128                # bytes of a subcommand repeated in an error

cdef const char* joined[CHANNEL_KINDS]
joined[CHANNEL] = b"subscribe"
joined[PATTERN] = b"psubscribe"
joined[SHARD] = b"ssubscribe"

cdef const char* left[CHANNEL_KINDS]
left[CHANNEL] = b"unsubscribe"
left[PATTERN] = b"punsubscribe"
left[SHARD] = b"sunsubscribe"


cdef void confirm(Call* call, int kind, const char* word, const Slice* name, long long count) noexcept nogil:
    """The answer to one name, NULL: to none, with the number of subscriptions that there are then."""
    cdef Output* output = call.output
    call.output = &call.client.output  # CLIENT REPLY OFF does not hide it
    answer_raw(call, b">3\r\n" if call.client.resp == 3 else b"*3\r\n", 4)
    answer_text(call, word)
    if name == NULL:
        answer_nil(call)
    else:
        answer_bulk(call, name.data, name.length)
    answer_number(call, count)
    call.output = output


cdef long long count_of(Client* client, int kind) noexcept nogil:
    """Shard channels are counted apart."""
    if kind == SHARD:
        return client.subscribed_count[SHARD]
    return <long long> client.subscribed_count[CHANNEL] + client.subscribed_count[PATTERN]


cdef void join(Call* call, int kind) noexcept nogil:
    cdef int index
    for index in range(1, call.argc):
        subscription_add(call.node, call.client, kind, &call.argv[index])
        confirm(call, kind, joined[kind], &call.argv[index], count_of(call.client, kind))


cdef void leave(Call* call, int kind) noexcept nogil:
    """The channels named, or all."""
    cdef Client* client = call.client
    cdef Slice name
    cdef int index
    for index in range(1, call.argc):
        subscription_end(call.node, client, kind, &call.argv[index])
        confirm(call, kind, left[kind], &call.argv[index], count_of(client, kind))
    if call.argc > 1:
        return
    if client.subscribed[kind] == NULL:
        confirm(call, kind, left[kind], NULL, count_of(client, kind))
    while client.subscribed[kind] != NULL:
        # Told before it is done: the name goes with its last subscriber.
        name = channel_name(client.subscribed[kind].channel)
        confirm(call, kind, left[kind], &name, count_of(client, kind) - 1)
        subscription_free(call.node, client.subscribed[kind])


cdef void command_subscribe(Call* call) noexcept nogil:
    join(call, CHANNEL)


cdef void command_psubscribe(Call* call) noexcept nogil:
    join(call, PATTERN)


cdef void command_ssubscribe(Call* call) noexcept nogil:
    join(call, SHARD)


cdef void command_unsubscribe(Call* call) noexcept nogil:
    leave(call, CHANNEL)


cdef void command_punsubscribe(Call* call) noexcept nogil:
    leave(call, PATTERN)


cdef void command_sunsubscribe(Call* call) noexcept nogil:
    leave(call, SHARD)


cdef void publish(Call* call, int kind) noexcept nogil:
    """A publisher that is a subscriber gets the message ahead of its reply; in EXEC's block, whose reply is one, behind
    it. Replicas hear of it, the log does not."""
    if call.node.primary == NULL:
        replication_tell(call.node, call.argv, call.argc)
    answer_number(call, <long long> channels_deliver(
        call.node, kind, &call.argv[1], &call.argv[2], not call.node.in_exec and not call.client.quiet))


cdef void command_publish(Call* call) noexcept nogil:
    publish(call, CHANNEL)


cdef void command_spublish(Call* call) noexcept nogil:
    publish(call, SHARD)


cdef bint wanted(Call* call, const Channel* channel) noexcept nogil:
    return call.argc == 2 or glob_match(call.argv[2].data, call.argv[2].length, <const char*> (channel + 1),
                                        channel.key_length, False)


cdef void list_channels(Call* call, int kind) noexcept nogil:
    """The channels that anybody is subscribed to, of those that match a pattern."""
    cdef long long count = 0
    cdef Channel* channel
    cdef Walk walk
    cdef char word[SHOWN]
    cdef char text[SHOWN + 96]
    cdef int turn
    if call.argc > 3:
        copy_text(word, SHOWN, &call.argv[1])
        snprintf(text, sizeof(text), b"ERR unknown subcommand or wrong number of arguments for '%s'. Try PUBSUB HELP.",
                 word)
        answer_error(call, text)
        return
    for turn in range(2):
        if turn:
            answer_array(call, count)
        table_walk(&call.node.channels[kind], &walk)
        channel = <Channel*> table_next(&walk)
        while channel != NULL:
            if wanted(call, channel):
                count += 1
                if turn:
                    answer_bulk(call, <const char*> (channel + 1), channel.key_length)
            channel = <Channel*> table_next(&walk)


cdef void count_subscribers(Call* call, int kind) noexcept nogil:
    cdef Channel* channel
    cdef int index
    answer_array(call, (call.argc - 2) * 2)
    for index in range(2, call.argc):
        channel = channel_find(call.node, kind, &call.argv[index])
        answer_bulk(call, call.argv[index].data, call.argv[index].length)
        answer_number(call, <long long> channel.count if channel != NULL else 0)


cdef void command_pubsub_channels(Call* call) noexcept nogil:
    list_channels(call, CHANNEL)


cdef void command_pubsub_numsub(Call* call) noexcept nogil:
    count_subscribers(call, CHANNEL)


cdef void command_pubsub_numpat(Call* call) noexcept nogil:
    answer_number(call, <long long> call.node.channels[PATTERN].count)


cdef void command_pubsub_shardchannels(Call* call) noexcept nogil:
    list_channels(call, SHARD)


cdef void command_pubsub_shardnumsub(Call* call) noexcept nogil:
    count_subscribers(call, SHARD)
