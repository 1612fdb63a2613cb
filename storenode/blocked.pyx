# cython: language_level=3, boundscheck=False, wraparound=False, cdivision=True, initializedcheck=False
"""Blocked: the records of waiting clients, the heap of their deadlines, the list of ready keys. See blocked.pxd."""

from libc.stdint cimport uint64_t
from libc.stdio cimport fprintf, stderr
from libc.stdlib cimport abort, free, malloc, realloc
from libc.string cimport memcpy

from storenode.answer cimport answer_error, answer_nil_array
from storenode.delivery cimport client_touch
from storenode.interest cimport interest_add, interest_remove, topic_find
from storenode.table cimport Walk, table_next, table_walk
from storenode.types cimport Call, Client, Database, Interest, Node, Pop, Slice, Topic, Wait

cdef enum:
    DEADLINES_LEAST = 64       # places of the heap when it is made; it doubles


# -- deadlines --------------------------------------------------------------------------------------------------------


cdef inline void put(Node* node, size_t place, Wait* wait) noexcept nogil:
    node.deadlines[place] = wait
    wait.place = place


cdef void sift(Node* node, size_t place, Wait* wait) noexcept nogil:
    """Put `wait` where it belongs, from a place that is free, towards the root or the leaves."""
    cdef size_t child
    while place and node.deadlines[(place - 1) // 2].deadline_us > wait.deadline_us:
        put(node, place, node.deadlines[(place - 1) // 2])
        place = (place - 1) // 2
    while True:
        child = 2 * place + 1
        if child >= node.deadline_count:
            break
        if (child + 1 < node.deadline_count
                and node.deadlines[child + 1].deadline_us < node.deadlines[child].deadline_us):
            child += 1
        if node.deadlines[child].deadline_us >= wait.deadline_us:
            break
        put(node, place, node.deadlines[child])
        place = child
    put(node, place, wait)


cdef void deadline_add(Node* node, Wait* wait) noexcept nogil:
    if node.deadline_count == node.deadline_room:
        node.deadline_room = 2 * node.deadline_room if node.deadline_room else DEADLINES_LEAST
        node.deadlines = <Wait**> realloc(node.deadlines, node.deadline_room * sizeof(Wait*))
        if node.deadlines == NULL:
            fprintf(stderr, "quench: out of memory for %zu deadlines\n", node.deadline_room)
            abort()
    node.deadline_count += 1
    sift(node, node.deadline_count - 1, wait)


cdef void deadline_remove(Node* node, Wait* wait) noexcept nogil:
    cdef Wait* last
    node.deadline_count -= 1
    last = node.deadlines[node.deadline_count]
    if last != wait:
        sift(node, wait.place, last)


# -- waiting ----------------------------------------------------------------------------------------------------------


cdef void wait_begin(Call* call, const Pop* pop, const Slice* keys, int count, uint64_t deadline_us) noexcept nogil:
    """Block the calling client until one of `keys` can serve it, or until `deadline_us` (0: for ever)."""
    cdef Node* node = call.node
    cdef Wait* wait = <Wait*> malloc(sizeof(Wait) + pop.count.length + pop.target.length)
    cdef Interest* interest
    cdef Topic* topic
    cdef char* text
    cdef int index
    if wait == NULL:
        fprintf(stderr, "quench: out of memory for a blocked client\n")
        abort()
    text = <char*> (wait + 1)
    wait.client = call.client
    wait.interests = NULL
    wait.pop = pop[0]
    wait.deadline_us = deadline_us
    wait.in_vain = NULL
    memcpy(text, pop.count.data, pop.count.length)
    wait.pop.count.data = text
    memcpy(text + pop.count.length, pop.target.data, pop.target.length)
    wait.pop.target.data = text + pop.count.length
    for index in range(count):
        topic = topic_find(&call.database.awaited, &keys[index])
        # The same key twice: nobody else can have come in between.
        if topic != NULL and topic.last != NULL and topic.last.client == call.client:
            continue
        interest = interest_add(&call.database.awaited, call.database, &keys[index], call.client)
        interest.sibling = wait.interests
        wait.interests = interest
    if deadline_us:
        deadline_add(node, wait)
    call.client.wait = wait
    node.blocked_count += 1


cdef void wait_drop(Node* node, Client* client) noexcept nogil:
    """Forget what a client waits for; it is being closed, or wait_end() goes on."""
    cdef Wait* wait = client.wait
    cdef Interest* interest
    if wait == NULL:
        return
    while wait.interests != NULL:
        interest = wait.interests
        wait.interests = interest.sibling
        interest_remove(&interest.topic.database.awaited, interest)
    if wait.deadline_us:
        deadline_remove(node, wait)
    client.wait = NULL
    node.blocked_count -= 1
    free(wait)


cdef void wait_end(Node* node, Client* client) noexcept nogil:
    """A blocked client has its answer: the loop is to send it and to go on with the requests behind."""
    wait_drop(node, client)
    client.parked = client.input.chunk != NULL
    client_touch(node, client)


# -- ready keys -------------------------------------------------------------------------------------------------------


cdef void signal(Node* node, Topic* topic) noexcept nogil:
    if topic.ready:
        return
    topic.ready = True
    topic.next_ready = NULL
    if node.ready == NULL:
        node.ready = topic
    else:
        node.ready_last.next_ready = topic
    node.ready_last = topic


cdef void wait_signal(Database* database, const Slice* key) noexcept nogil:
    """`key` was changed: whoever waits for it is to be looked at once the command is done."""
    cdef Topic* topic = topic_find(&database.awaited, key)
    if topic != NULL:
        signal(database.node, topic)


cdef void wait_signal_all(Database* database) noexcept nogil:
    """Every key that somebody waits for in a database may have come."""
    cdef Walk walk
    cdef Topic* topic
    if database.awaited.count == 0:
        return
    table_walk(&database.awaited, &walk)
    topic = <Topic*> table_next(&walk)
    while topic != NULL:
        signal(database.node, topic)
        topic = <Topic*> table_next(&walk)


cdef Topic* wait_ready(Node* node) noexcept nogil:
    """Take the first ready key off the list. It stays marked as ready, and so in memory, until the caller clears that."""
    cdef Topic* topic = node.ready
    if topic != NULL:
        node.ready = topic.next_ready
    return topic


# -- waited in vain ---------------------------------------------------------------------------------------------------


cdef void wait_cancel(Node* node, Client* client, const char* error) noexcept nogil:
    """Give a blocked client its answer without anything for it: an error, or (NULL) that of a timeout."""
    cdef Call call
    call.node = node
    call.client = client
    call.output = &client.output
    call.pool = &node.chunks
    if error != NULL:
        answer_error(&call, error)
    elif client.wait.in_vain != NULL:
        client.wait.in_vain(&call)
    else:
        answer_nil_array(&call)
    wait_end(node, client)


cdef void wait_expire(Node* node) noexcept nogil:
    """Answer those whose time has come."""
    while node.deadline_count and node.deadlines[0].deadline_us <= node.now_us:
        wait_cancel(node, node.deadlines[0].client, NULL)
