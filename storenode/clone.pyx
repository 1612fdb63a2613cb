# cython: language_level=3, boundscheck=False, wraparound=False, cdivision=True, initializedcheck=False
"""Clone. See clone.pxd. Bytes behind the key are copied as they are; a structure is built anew, element by element."""

from libc.string cimport memcpy

from storenode.collection cimport Elements, dict_add, dict_new, elements_begin, elements_next
from storenode.deque cimport Item, deque_end, deque_new, deque_of, deque_push, deque_step
from storenode.entry cimport entry_value
from storenode.keyspace cimport entry_build, value_point, value_splice
from storenode.ranking cimport ranking_insert, ranking_new
from storenode.sortedset cimport score_of
from storenode.types cimport DEQUE, RANKING, TABLE, Deque, Dict, Entry, Node, Place, Ranking, Slice


cdef Deque* clone_deque(Node* node, const Entry* source) noexcept nogil:
    cdef Deque* deque = deque_new(node)
    cdef Item item
    cdef bint more = deque_end(deque_of(source), True, &item)
    while more:
        deque_push(deque, &item.value, False)
        more = deque_step(&item, False)
    return deque


cdef Dict* clone_dict(Node* node, const Entry* source) noexcept nogil:
    cdef Dict* dict = dict_new(node)
    cdef Elements elements
    elements_begin(source, &elements)
    while elements_next(&elements):
        dict_add(dict, &elements.name, &elements.payload)
    return dict


cdef Ranking* clone_ranking(Node* node, const Entry* source) noexcept nogil:
    cdef Ranking* ranking = ranking_new(node)
    cdef Elements elements
    elements_begin(source, &elements)
    while elements_next(&elements):
        ranking_insert(ranking, score_of(&elements.payload),
                       dict_add(&ranking.members, &elements.name, &elements.payload))
    return ranking


cdef void entry_clone(Node* node, const Entry* source, const Slice* key, Place* built) noexcept nogil:
    """Build an entry with the key `key` and the value of `source`, without its expiry."""
    entry_build(node, key, built, source.type, source.encoding)
    if source.encoding == DEQUE:
        value_point(node, built, DEQUE, clone_deque(node, source))
    elif source.encoding == RANKING:
        value_point(node, built, RANKING, clone_ranking(node, source))
    elif source.encoding == TABLE:
        value_point(node, built, TABLE, clone_dict(node, source))
    else:
        memcpy(value_splice(node, built, 0, 0, source.value_length), entry_value(source), source.value_length)
        built.entry.count = source.count
