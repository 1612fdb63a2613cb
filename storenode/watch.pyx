# cython: language_level=3, boundscheck=False, wraparound=False, cdivision=True, initializedcheck=False
"""Watch: marking the clients whose keys were changed. See watch.pxd."""

from storenode.answer cimport answer_error, answer_ok
from storenode.entry cimport entry_expired
from storenode.hash cimport hash_bytes
from storenode.interest cimport interest_add, interest_remove, topic_find, topic_name
from storenode.table cimport Walk, table_find, table_next, table_walk
from storenode.types cimport Call, Client, Database, Dict, Entry, Interest, Place, Slice, Topic


cdef Entry* entry_of(Database* database, const Slice* key) noexcept nogil:
    """A key as it is, past its expiry or not; NULL: not there."""
    cdef Place place
    cdef Dict* keys = &database.keys
    if table_find(keys, key.data, key.length, hash_bytes(key.data, key.length, database.node.seed), &place):
        return place.entry
    return NULL


cdef bint stale(Database* database, const Slice* key) noexcept nogil:
    """Is the key there, but past its expiry?"""
    cdef Entry* entry = entry_of(database, key)
    return entry != NULL and entry_expired(entry, database.node.now_ms)


cdef void watch(Call* call, const Slice* key) noexcept nogil:
    cdef Interest* interest = call.client.watches
    cdef Topic* topic = topic_find(&call.database.watched, key)
    while topic != NULL and interest != NULL:
        if interest.topic == topic:
            return
        interest = interest.sibling
    interest = interest_add(&call.database.watched, call.database, key, call.client)
    interest.expired = stale(call.database, key)
    interest.sibling = call.client.watches
    call.client.watches = interest


cdef void command_watch(Call* call) noexcept nogil:
    cdef int index
    if call.client.transaction.begun:
        answer_error(call, b"ERR WATCH inside MULTI is not allowed")
        return
    if not call.client.dirty:
        for index in range(1, call.argc):
            watch(call, &call.argv[index])
    answer_ok(call)


cdef void command_unwatch(Call* call) noexcept nogil:
    watch_end(call.client)
    answer_ok(call)


cdef void watch_end(Client* client) noexcept nogil:
    """Watch nothing any more, and forget what happened to what was watched."""
    cdef Interest* interest
    while client.watches != NULL:
        interest = client.watches
        client.watches = interest.sibling
        interest_remove(&interest.topic.database.watched, interest)
    client.dirty = False


cdef bint watch_broken(Client* client) noexcept nogil:
    """Was a watched key changed, or has one expired since, even if it is still there?"""
    cdef Interest* interest = client.watches
    cdef Slice name
    while interest != NULL and not client.dirty:
        name = topic_name(interest.topic)
        client.dirty = not interest.expired and stale(interest.topic.database, &name)
        interest = interest.sibling
    return client.dirty


cdef void watch_touch(Database* database, const Slice* key) noexcept nogil:
    """`key` was changed. The marked clients go on watching until they ask: then nothing here has to be freed."""
    cdef Topic* topic = topic_find(&database.watched, key)
    cdef Interest* interest = topic.first if topic != NULL else NULL
    while interest != NULL:
        if interest.expired and entry_of(database, key) == NULL:
            interest.expired = False
        else:
            interest.client.dirty = True
        interest = interest.next


cdef void touch_topic(Topic* topic, bint was_there, Database* now) noexcept nogil:
    """The key of a topic was in a database whose keys are all gone; `now`: where its new ones are, or NULL."""
    cdef Interest* interest = topic.first
    cdef Slice name = topic_name(topic)
    cdef bint is_there = now != NULL and entry_of(now, &name) != NULL
    cdef bint is_stale = is_there and stale(now, &name)
    if not was_there and not is_there:
        return
    while interest != NULL:
        if interest.expired and not is_there:
            interest.expired = False
        elif not was_there and is_stale:
            interest.expired = True
        elif not (interest.expired and is_stale):
            interest.client.dirty = True
        interest = interest.next


cdef void touch_every(Database* watched, Database* before, Database* now) noexcept nogil:
    """Tell every topic of `watched` that its key was in `before`, if anywhere, and is in `now`, or is gone (NULL)."""
    cdef Walk walk
    cdef Topic* topic
    cdef Slice name
    if watched.watched.count == 0:
        return
    table_walk(&watched.watched, &walk)
    topic = <Topic*> table_next(&walk)
    while topic != NULL:
        name = topic_name(topic)
        touch_topic(topic, entry_of(before, &name) != NULL, now)
        topic = <Topic*> table_next(&walk)


cdef void watch_touch_all(Database* database) noexcept nogil:
    """A database is about to be emptied. Watched keys that are not in it stay as they are: absent."""
    touch_every(database, database, NULL)


cdef void watch_swapped(Database* one, Database* other) noexcept nogil:
    """Two databases have exchanged their keys: what was in `one` is in `other` now."""
    touch_every(one, other, one)
    touch_every(other, one, other)
