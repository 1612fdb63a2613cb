# cython: language_level=3, boundscheck=False, wraparound=False, cdivision=True, initializedcheck=False
"""Reaper: freeing now or later. See reaper.pxd."""

from libc.stdint cimport SIZE_MAX
from libc.string cimport memset

from storenode.deque cimport deque_drain, deque_of
from storenode.entry cimport entry_structure
from storenode.heap cimport heap_free, heap_new
from storenode.ranking cimport ranking_drain
from storenode.table cimport table_drain
from storenode.types cimport DEQUE, RANKING, TABLE, Deque, Dict, Doomed, Entry, Node, Ranking


cdef void free_member(void* context, Entry* member) noexcept nogil:
    """A table visitor."""
    heap_free(<Node*> context, member)


cdef void free_key(void* context, Entry* entry) noexcept nogil:
    """A table visitor; a large value becomes a matter of its own, so that no step takes long."""
    value_release(<Node*> context, entry, True)
    heap_free(<Node*> context, entry)


cdef bint free_some(Node* node, void* structure, int encoding, size_t* budget) noexcept nogil:
    """Free up to a budget of elements; True: all is gone."""
    if encoding == DEQUE:
        if not deque_drain(<Deque*> structure, budget):
            return False
    elif encoding == RANKING:
        if not ranking_drain(<Ranking*> structure, budget):
            return False
        if not table_drain(&(<Ranking*> structure).members, budget, free_member, node):
            return False
    elif not table_drain(<Dict*> structure, budget, free_key if encoding == KEYSPACE else free_member, node):
        return False
    heap_free(node, structure)
    return True


cdef size_t elements_of(const void* structure, int encoding) noexcept nogil:
    if encoding == DEQUE:
        return (<Deque*> structure).count
    if encoding == RANKING:
        return (<Ranking*> structure).members.count
    return (<Dict*> structure).count


cdef void release(Node* node, void* structure, int encoding, bint lazily) noexcept nogil:
    cdef size_t budget = SIZE_MAX
    cdef Doomed* doomed
    if lazily and elements_of(structure, encoding) > LAZY_FROM:
        doomed = <Doomed*> heap_new(node, sizeof(Doomed))
        doomed.structure = structure
        doomed.encoding = encoding
        doomed.next = node.doomed
        node.doomed = doomed
        node.doomed_count += 1
    else:
        free_some(node, structure, encoding, &budget)


cdef void value_release(Node* node, Entry* entry, bint lazily) noexcept nogil:
    """Free what an entry's value points to; the entry's own block stays. Nothing to do for most values."""
    if entry.encoding >= TABLE:
        release(node, entry_structure(entry), entry.encoding, lazily)


cdef void keyspace_release(Node* node, Dict* keys, bint lazily) noexcept nogil:
    """Take everything out of `keys`, which is empty and ready for use afterwards."""
    cdef Dict* old
    if keys.tables[0].buckets == NULL:
        return
    old = <Dict*> heap_new(node, sizeof(Dict))
    old[0] = keys[0]
    old.sweep = 0
    memset(keys, 0, sizeof(Dict))
    keys.node = node
    keys.head = sizeof(Entry)
    release(node, old, KEYSPACE, lazily)
    while not lazily and node.doomed != NULL:
        reap(node, SIZE_MAX)


cdef bint reap(Node* node, size_t elements) noexcept nogil:
    """Free about so many elements of what waits; True: more is waiting."""
    cdef Doomed* doomed
    cdef void* structure
    cdef int encoding
    while node.doomed != NULL and elements:
        doomed = node.doomed
        structure = doomed.structure
        encoding = doomed.encoding
        # Taken off first: freeing a keyspace puts its large values ahead of it.
        node.doomed = doomed.next
        if free_some(node, structure, encoding, &elements):
            node.doomed_count -= 1
            heap_free(node, doomed)
        else:
            doomed.next = node.doomed
            node.doomed = doomed
    return node.doomed != NULL
