# cython: language_level=3, boundscheck=False, wraparound=False, cdivision=True, initializedcheck=False
"""Limits: see limits.pxd."""

from libc.stdint cimport uint64_t
from libc.stdio cimport snprintf

from proxy.wire.resp cimport read_number
from storenode.arguments cimport is_word, take_size
from storenode.delivery cimport client_touch
from storenode.text cimport Text, text_add, text_room
from storenode.types cimport (
    IDLE_TIMEOUT, OUTPUT_CLASSES, OUTPUT_NORMAL, OUTPUT_PUBSUB, OUTPUT_REPLICA, Client, Node, OutputLimit, Slice,
)

cdef enum:
    WORDS = 4                  # of one class: its name, hard, soft, seconds

cdef const char* classes[OUTPUT_CLASSES]
classes[OUTPUT_NORMAL] = b"normal"
classes[OUTPUT_REPLICA] = b"slave"
classes[OUTPUT_PUBSUB] = b"pubsub"


cdef void limits_open(Node* node) noexcept nogil:
    """Redis's own."""
    node.output_limits[OUTPUT_NORMAL] = OutputLimit(hard=0, soft=0, seconds=0)
    node.output_limits[OUTPUT_REPLICA] = OutputLimit(hard=256 << 20, soft=64 << 20, seconds=60)
    node.output_limits[OUTPUT_PUBSUB] = OutputLimit(hard=32 << 20, soft=8 << 20, seconds=60)


cdef void limits_show(Node* node, Text* text) noexcept nogil:
    cdef OutputLimit* limit
    cdef int index
    for index in range(OUTPUT_CLASSES):
        limit = &node.output_limits[index]
        if index:
            text_add(text, b" ")
        text.length += snprintf(
            text_room(text, 128), 128, b"%s %llu %llu %lld", classes[index],
            <unsigned long long> limit.hard, <unsigned long long> limit.soft, <long long> limit.seconds)


cdef bint next_word(const Slice* text, size_t* at, Slice* word) noexcept nogil:
    """Words are parted by one blank each, so there are empty ones; at[0] is beyond the text when all are read."""
    if at[0] > text.length or text.length == 0:
        return False
    word.data = text.data + at[0]
    while at[0] < text.length and text.data[at[0]] != c' ':
        at[0] += 1
    word.length = text.data + at[0] - word.data
    at[0] += 1
    return True


cdef int class_of(const Slice* word) noexcept nogil:
    cdef int index
    for index in range(OUTPUT_CLASSES):
        if is_word(word, classes[index]):
            return index
    return OUTPUT_REPLICA if is_word(word, b"replica") else -1


cdef const char* limits_apply(Node* node, const Slice* value, bint really) noexcept nogil:
    """`class hard soft seconds`, any number of times; what is not named stays. NULL: good; else what is wrong."""
    cdef OutputLimit limit
    cdef Slice words[WORDS]
    cdef unsigned long long hard = 0
    cdef unsigned long long soft = 0
    cdef long long seconds = 0
    cdef size_t at = 0
    cdef size_t count = 0
    cdef int which
    while next_word(value, &at, &words[0]):
        count += 1
    if count % WORDS:
        return b"Wrong number of arguments in buffer limit configuration."
    at = 0
    while next_word(value, &at, &words[0]):
        for which in range(1, WORDS):
            next_word(value, &at, &words[which])
        which = class_of(&words[0])
        if which < 0:
            return b"Invalid client class specified in buffer limit configuration."
        if (not take_size(&words[1], &hard) or not take_size(&words[2], &soft)
                or not read_number(words[3].data, words[3].length, &seconds) or seconds < 0):
            return b"Error in hard, soft or soft_seconds setting in buffer limit configuration."
        if really:
            node.output_limits[which] = OutputLimit(hard=hard, soft=soft, seconds=seconds)
    return NULL


cdef void output_check(Node* node, Client* client) noexcept nogil:
    """Mark a client that leaves more unread than it may, or more than it may for so long."""
    cdef OutputLimit* limit = &node.output_limits[OUTPUT_PUBSUB if client.subscriptions else OUTPUT_NORMAL]
    cdef size_t length = client.output.length
    cdef bint over = limit.hard and length >= limit.hard
    if limit.soft and length >= limit.soft:
        if client.soft_since_us == 0:
            client.soft_since_us = node.now_us
        over = over or node.now_us - client.soft_since_us > <uint64_t> limit.seconds * 1000000
    else:
        client.soft_since_us = 0
    if over:
        client.overrun = True
        client.closing = True
        client_touch(node, client)


cdef void clients_check(Node* node) noexcept nogil:
    """Once a second, of all clients: those that nothing happens to reach their limits, too."""
    cdef uint64_t idle_us = <uint64_t> node.settings[IDLE_TIMEOUT] * 1000000
    cdef Client* client = node.clients
    while client != NULL:
        if client.output.length:
            output_check(node, client)
        if (idle_us and client.subscriptions == 0 and client.wait == NULL and not client.monitoring
                and client.replica == NULL
                and node.now_us - client.used_us > idle_us):
            client.overrun = True
            client.closing = True
            client_touch(node, client)
        client = client.next
