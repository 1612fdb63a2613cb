# cython: language_level=3, boundscheck=False, wraparound=False, cdivision=True, initializedcheck=False
"""Pages: what is folded, and when. See pages.pxd."""

from libc.stdint cimport uint64_t
from libc.stdio cimport FILE, fclose, fgets, fopen, sscanf
from libc.stdlib cimport calloc, free

from proxy.wire.system cimport monotonic_us
from storenode.files cimport madvise
from storenode.types cimport Node

cdef extern from "<pthread.h>" nogil:
    ctypedef unsigned long pthread_t
    int pthread_create(pthread_t* thread, void* attributes, void* (*body)(void*) noexcept nogil, void* argument)
    int pthread_join(pthread_t thread, void** result)

cdef extern from "<sys/mman.h>" nogil:
    int mincore(void* address, size_t length, unsigned char* present)

cdef extern from "<unistd.h>" nogil:
    int usleep(unsigned int us)

cdef extern from *:
    """
    #define quench_raised(p) __atomic_load_n((p), __ATOMIC_ACQUIRE)
    #define quench_raise(p) __atomic_store_n((p), 1, __ATOMIC_RELEASE)
    """
    bint quench_raised(bint* flag) nogil
    void quench_raise(bint* flag) nogil

cdef enum:
    COLLAPSE = 25              # MADV_COLLAPSE, which not every header has
    HUGE = 2 << 20             # bytes of a huge page
    SMALLS = 512               # small pages that it is
    PRESENT_LEAST = 480        # of them that have to be in use: at most 1/16 of it is memory not had before
    REST_US = 400              # after each: who needs what is being folded waits no longer than for one
    WORTH_IT = 32 << 20        # bytes of keyspace from which on it saves a millisecond
    VALID_US = 1000000         # for so long what was folded counts as folded: a fork may still be put off

cdef struct Fold:
    pthread_t thread
    bint ending                # it is to stop; set by the loop
    bint done                  # set by the thread


cdef void fold(uint64_t at) noexcept nogil:
    """One huge page, if it is in use; whatever is there by now. It is no mistake if nothing is."""
    cdef unsigned char present[SMALLS]
    cdef int count = 0
    cdef int index
    if mincore(<void*> at, HUGE, present) < 0:
        return
    for index in range(SMALLS):
        count += present[index] & 1
    if count >= PRESENT_LEAST and madvise(<void*> at, HUGE, COLLAPSE) == 0:
        usleep(REST_US)


cdef void* fold_all(void* argument) noexcept nogil:
    """The thread: all anonymous memory that can be written to, in whole huge pages."""
    cdef Fold* work = <Fold*> argument
    cdef FILE* maps = fopen(b"/proc/self/maps", b"re")
    cdef char line[512]
    cdef char mode[8]
    cdef unsigned long at, end, inode
    while maps != NULL and fgets(line, sizeof(line), maps) != NULL:
        if sscanf(line, b"%lx-%lx %7s %*s %*s %lu", &at, &end, mode, &inode) != 4 or inode or mode[1] != c'w':
            continue
        at = (at + HUGE - 1) // HUGE * HUGE
        while at + HUGE <= end and not quench_raised(&work.ending):
            fold(at)
            at += HUGE
    if maps != NULL:
        fclose(maps)
    quench_raise(&work.done)
    return NULL


cdef bint pages_ready(Node* node) noexcept nogil:
    """May the process fork now? False: not yet; the turn in which pages_turn() says so is a good time to ask again."""
    cdef Fold* work
    if node.memory < WORTH_IT or (node.folded_us and monotonic_us() - node.folded_us < VALID_US):
        node.folded_us = 0
        return True
    if node.fold == NULL:
        work = <Fold*> calloc(1, sizeof(Fold))
        if work == NULL or pthread_create(&work.thread, NULL, fold_all, work) != 0:
            free(work)
            return True
        node.fold = work
    return False


cdef void end(Node* node) noexcept nogil:
    pthread_join((<Fold*> node.fold).thread, NULL)
    free(node.fold)
    node.fold = NULL


cdef bint pages_turn(Node* node) noexcept nogil:
    """While it goes on: has it ended?"""
    if not quench_raised(&(<Fold*> node.fold).done):
        return False
    end(node)
    node.folded_us = monotonic_us()
    return True


cdef void pages_close(Node* node) noexcept nogil:
    if node.fold != NULL:
        quench_raise(&(<Fold*> node.fold).ending)
        end(node)
