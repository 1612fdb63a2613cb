# cython: language_level=3, boundscheck=False, wraparound=False, cdivision=True, initializedcheck=False
"""Serve: carrying out a pop, for the calling client or for one that waited. See serve.pxd."""

from proxy.wire.resp cimport read_number
from storenode.answer cimport answer_array, answer_bulk
from storenode.blocked cimport wait_end, wait_ready
from storenode.call cimport call_becomes, call_invoke
from storenode.delivery cimport end_reply
from storenode.interest cimport topic_name, topic_release
from storenode.keyspace cimport key_peek, key_write
from storenode.lists cimport command_lmove, command_lpop, command_rpop, pop_items
from storenode.types cimport LIST, Call, Client, Database, Interest, Node, Place, Pop, Slice, Topic
from storenode.zsets cimport PAIRS, PLAIN, command_zpopmax, command_zpopmin, pop_members

cdef enum:
    WORDS_MOST = 5             # arguments of an effect


cdef void set_word(Call* call, int index, const char* word, size_t length) noexcept nogil:
    call.argv[index].data = word
    call.argv[index].length = length


cdef void set_end(Call* call, int index, bint front) noexcept nogil:
    if front:
        set_word(call, index, b"LEFT", 4)
    else:
        set_word(call, index, b"RIGHT", 5)


cdef void move(Call* call, const Pop* pop) noexcept nogil:
    """Become LMOVE, whose key is in place."""
    set_word(call, 0, b"LMOVE", 5)
    call.argv[2] = pop.target
    set_end(call, 3, pop.first)
    set_end(call, 4, pop.to_front)
    call.argc = 5
    call_becomes(call, command_lmove)
    command_lmove(call)


cdef void pop_from(Call* call, const Pop* pop) noexcept nogil:
    """Become LPOP, RPOP, ZPOPMIN or ZPOPMAX, whose key is in place and has what is wanted."""
    cdef Slice* key = &call.argv[1]
    cdef Place place
    cdef long long count = 1
    call.argc = 2
    if pop.form == MANY:
        read_number(pop.count.data, pop.count.length, &count)
        call.argv[2] = pop.count
        call.argc = 3
    if not key_write(call, key, &place):
        return
    if pop.type == LIST:
        set_word(call, 0, b"LPOP" if pop.first else b"RPOP", 4)
        call_becomes(call, command_lpop if pop.first else command_rpop)
        answer_array(call, 2)
        answer_bulk(call, key.data, key.length)
        pop_items(call, key, &place, pop.first, <size_t> count, pop.form == MANY)
    else:
        set_word(call, 0, b"ZPOPMIN" if pop.first else b"ZPOPMAX", 7)
        call_becomes(call, command_zpopmin if pop.first else command_zpopmax)
        answer_array(call, 2 if pop.form == MANY else 3)
        answer_bulk(call, key.data, key.length)
        pop_members(call, key, &place, not pop.first, count, PAIRS if pop.form == MANY else PLAIN)


cdef void serve_pop(Call* call, const Pop* pop, const Slice* source) noexcept nogil:
    """Take from `source`, a key of the right type, and answer. call.argv must have room for WORDS_MOST arguments."""
    call.argv[1] = source[0]
    if pop.form == ACROSS:
        move(call, pop)
    else:
        pop_from(call, pop)


cdef void serve_call(Call* call) noexcept nogil:
    """A Handler: serve the client of the call, which is blocked, from the key in argv[1]."""
    cdef Slice source = call.argv[1]
    serve_pop(call, &call.client.wait.pop, &source)


cdef bint serve_next(Call* call, Topic* topic) noexcept nogil:
    """Serve who has waited longest among those whom the key can serve; False: nobody."""
    cdef Database* database = topic.database
    cdef Interest* interest = topic.first
    cdef Slice words[WORDS_MOST]
    cdef Place place
    words[1] = topic_name(topic)
    if interest == NULL or not key_peek(database, &words[1], &place):
        return False
    while interest != NULL and interest.client.wait.pop.type != place.entry.type:
        interest = interest.next
    if interest == NULL:
        return False
    call.client = interest.client
    call.database = database
    call.output = &interest.client.output
    call.argv = words
    call.argc = 2
    call.failed = False
    call.node.served = interest.client
    call_invoke(call, serve_call)
    end_reply(call.node)
    wait_end(call.node, interest.client)
    return True


cdef void serve_ready(Node* node) noexcept nogil:
    """Serve the clients that wait for keys which have been changed; keys in the order of their changes.

    What is served may make other keys ready, a BLMOVE its target: they are served here too.
    """
    cdef Call saved = node.call
    cdef Client* served = node.served
    cdef Topic* topic = wait_ready(node)
    if served != NULL:
        end_reply(node)
    while topic != NULL:
        while serve_next(&node.call, topic):
            pass
        topic.ready = False
        topic_release(&topic.database.awaited, topic)
        topic = wait_ready(node)
    node.call = saved
    node.served = served
