# cython: language_level=3, boundscheck=False, wraparound=False, cdivision=True, initializedcheck=False
"""Interest: finding, joining and leaving a key's list. See interest.pxd."""

from libc.stdint cimport SIZE_MAX, uint32_t
from libc.string cimport memcpy

from storenode.hash cimport hash_bytes
from storenode.heap cimport heap_free, heap_new
from storenode.table cimport table_drain, table_find, table_insert, table_remove
from storenode.types cimport Client, Database, Dict, Entry, Interest, Node, Place, Slice, Topic


cdef void interests_open(Node* node, Dict* topics) noexcept nogil:
    topics.node = node
    topics.head = sizeof(Topic)


cdef bint find(Dict* topics, const Slice* key, Place* place) noexcept nogil:
    return table_find(topics, key.data, key.length, hash_bytes(key.data, key.length, topics.node.seed), place)


cdef Topic* topic_find(Dict* topics, const Slice* key) noexcept nogil:
    """NULL: nobody is interested in this key."""
    cdef Place place
    if topics.count == 0 or not find(topics, key, &place):
        return NULL
    return <Topic*> place.entry


cdef Interest* interest_add(Dict* topics, Database* database, const Slice* key, Client* client) noexcept nogil:
    """Put a client at the end of a key's list; the caller links it to its siblings."""
    cdef Node* node = topics.node
    cdef Interest* interest = <Interest*> heap_new(node, sizeof(Interest))
    cdef Topic* topic
    cdef Place place
    if find(topics, key, &place):
        topic = <Topic*> place.entry
    else:
        topic = <Topic*> heap_new(node, sizeof(Topic) + key.length)
        topic.key_length = <uint32_t> key.length
        topic.value_length = 0
        topic.first = NULL
        topic.last = NULL
        topic.database = database
        topic.next_ready = NULL
        topic.ready = False
        memcpy(<char*> (topic + 1), key.data, key.length)
        table_insert(topics, <Entry*> topic, &place)
        node.topics += 1
    interest.topic = topic
    interest.client = client
    interest.sibling = NULL
    interest.expired = False
    interest.next = NULL
    interest.previous = topic.last
    if topic.last != NULL:
        topic.last.next = interest
    else:
        topic.first = interest
    topic.last = interest
    return interest


cdef void interest_remove(Dict* topics, Interest* interest) noexcept nogil:
    """Take a client out of a key's list, and free both what it leaves and a topic that nobody is left at."""
    cdef Topic* topic = interest.topic
    if interest.previous != NULL:
        interest.previous.next = interest.next
    else:
        topic.first = interest.next
    if interest.next != NULL:
        interest.next.previous = interest.previous
    else:
        topic.last = interest.previous
    heap_free(topics.node, interest)
    topic_release(topics, topic)


cdef void leave_alone(void* context, Entry* entry) noexcept nogil:
    """A table visitor, for a table that has nothing to visit."""


cdef void topic_release(Dict* topics, Topic* topic) noexcept nogil:
    """Free a topic that is of no use any more; with the last one of a database goes the table."""
    cdef Slice name = topic_name(topic)
    cdef Place place
    cdef size_t budget = SIZE_MAX
    if topic.first != NULL or topic.ready or not find(topics, &name, &place):
        return
    heap_free(topics.node, table_remove(topics, &place))
    topics.node.topics -= 1
    if topics.count == 0:
        table_drain(topics, &budget, leave_alone, NULL)
