# cython: language_level=3, boundscheck=False, wraparound=False, cdivision=True, initializedcheck=False
"""Clerk: a mutex, a condition and a short queue. See clerk.pxd."""

from libc.stdlib cimport calloc, free

from proxy.wire.system cimport close, errno
from storenode.disk cimport Manifest
from storenode.files cimport (
    O_APPEND, O_CLOEXEC, O_CREAT, O_TRUNC, O_WRONLY, WHOLE_PATH, fdatasync, open, unlink,
)
from storenode.manifest cimport manifest_increment, manifest_write
from storenode.types cimport Node

cdef extern from "<pthread.h>" nogil:
    ctypedef unsigned long pthread_t
    ctypedef struct pthread_mutex_t:
        pass
    ctypedef struct pthread_cond_t:
        pass
    int pthread_create(pthread_t* thread, void* attributes, void* (*body)(void*) noexcept nogil, void* argument)
    int pthread_join(pthread_t thread, void** result)
    int pthread_mutex_init(pthread_mutex_t* mutex, void* attributes)
    int pthread_mutex_lock(pthread_mutex_t* mutex)
    int pthread_mutex_unlock(pthread_mutex_t* mutex)
    int pthread_mutex_destroy(pthread_mutex_t* mutex)
    int pthread_cond_init(pthread_cond_t* cond, void* attributes)
    int pthread_cond_wait(pthread_cond_t* cond, pthread_mutex_t* mutex)
    int pthread_cond_signal(pthread_cond_t* cond)
    int pthread_cond_destroy(pthread_cond_t* cond)

cdef enum:
    TASKS = 16                 # waiting at most

cdef enum TaskKind:
    SYNC = 0
    RETIRE = 1                 # sync and close
    PREPARE = 2                # the next increment, and the manifest that names it

cdef struct Task:
    int kind
    int fd

cdef struct Clerk:
    pthread_t thread
    pthread_mutex_t mutex      # over everything below
    pthread_cond_t wake
    Task tasks[TASKS]
    int first
    int count                  # waiting, the one being done included
    bint ending
    int syncing                # SYNCs and RETIREs that are waiting or being done
    bint synced                # all were done, and that was not asked for
    int sync_error             # errno of the first that failed since
    Manifest manifest          # for PREPARE
    bint publish
    bint prepared
    int prepared_fd
    int prepared_error


cdef void prepare(Clerk* clerk) noexcept nogil:
    cdef char path[WHOLE_PATH]
    cdef int error = 0
    cdef int fd
    manifest_increment(&clerk.manifest, clerk.manifest.last, path)
    fd = open(path, O_WRONLY | O_CREAT | O_TRUNC | O_APPEND | O_CLOEXEC, 0o644)
    if fd < 0:
        error = errno
    elif clerk.publish:
        error = manifest_write(&clerk.manifest)
        if error:
            close(fd)
            unlink(path)
    pthread_mutex_lock(&clerk.mutex)
    clerk.prepared_fd = fd if error == 0 else -1
    clerk.prepared_error = error
    clerk.prepared = True
    pthread_mutex_unlock(&clerk.mutex)


cdef void* body(void* argument) noexcept nogil:
    cdef Clerk* clerk = <Clerk*> argument
    cdef Task task
    cdef int error
    pthread_mutex_lock(&clerk.mutex)
    while True:
        while clerk.count == 0 and not clerk.ending:
            pthread_cond_wait(&clerk.wake, &clerk.mutex)
        if clerk.count == 0:
            break
        task = clerk.tasks[clerk.first]
        pthread_mutex_unlock(&clerk.mutex)
        error = 0
        if task.kind == PREPARE:
            prepare(clerk)
        else:
            if fdatasync(task.fd) < 0:
                error = errno
            if task.kind == RETIRE:
                close(task.fd)
        pthread_mutex_lock(&clerk.mutex)
        clerk.first = (clerk.first + 1) % TASKS
        clerk.count -= 1
        if task.kind != PREPARE:
            clerk.syncing -= 1
            clerk.synced = clerk.synced or clerk.syncing == 0
            if error and clerk.sync_error == 0:
                clerk.sync_error = error
    pthread_mutex_unlock(&clerk.mutex)
    return NULL


cdef bint clerk_open(Node* node) noexcept nogil:
    """Start the thread; False: there cannot be one. Signals are blocked in it as they are in the one that calls."""
    cdef Clerk* clerk
    if node.log.clerk != NULL:
        return True
    clerk = <Clerk*> calloc(1, sizeof(Clerk))
    if clerk == NULL:
        return False
    pthread_mutex_init(&clerk.mutex, NULL)
    pthread_cond_init(&clerk.wake, NULL)
    if pthread_create(&clerk.thread, NULL, body, clerk) != 0:
        free(clerk)
        return False
    node.log.clerk = clerk
    return True


cdef void clerk_close(Node* node) noexcept nogil:
    """Let it finish what it was given, and end it."""
    cdef Clerk* clerk = <Clerk*> node.log.clerk
    if clerk == NULL:
        return
    pthread_mutex_lock(&clerk.mutex)
    clerk.ending = True
    pthread_cond_signal(&clerk.wake)
    pthread_mutex_unlock(&clerk.mutex)
    pthread_join(clerk.thread, NULL)
    pthread_mutex_destroy(&clerk.mutex)
    pthread_cond_destroy(&clerk.wake)
    if clerk.prepared and clerk.prepared_fd >= 0:
        close(clerk.prepared_fd)
    free(clerk)
    node.log.clerk = NULL


cdef bint give(Clerk* clerk, int kind, int fd) noexcept nogil:
    cdef Task* task
    cdef bint taken
    pthread_mutex_lock(&clerk.mutex)
    taken = clerk.count < TASKS
    if taken:
        task = &clerk.tasks[(clerk.first + clerk.count) % TASKS]
        task.kind = kind
        task.fd = fd
        clerk.count += 1
        if kind != PREPARE:
            clerk.syncing += 1
        pthread_cond_signal(&clerk.wake)
    pthread_mutex_unlock(&clerk.mutex)
    return taken


cdef bint clerk_sync(Node* node, int fd) noexcept nogil:
    """Have a file synced. False: it has too much to do."""
    return give(<Clerk*> node.log.clerk, SYNC, fd)


cdef bint clerk_retire(Node* node, int fd) noexcept nogil:
    """Have a file synced and closed."""
    return give(<Clerk*> node.log.clerk, RETIRE, fd)


cdef bint clerk_prepare(Node* node, const Manifest* manifest, bint publish) noexcept nogil:
    """Have the last increment of `manifest` created and, if `publish`, the manifest written."""
    cdef Clerk* clerk = <Clerk*> node.log.clerk
    clerk.manifest = manifest[0]
    clerk.publish = publish
    return give(clerk, PREPARE, -1)


cdef bint clerk_busy(Node* node) noexcept nogil:
    """Is a sync going on?"""
    cdef Clerk* clerk = <Clerk*> node.log.clerk
    cdef bint busy
    pthread_mutex_lock(&clerk.mutex)
    busy = clerk.syncing > 0
    pthread_mutex_unlock(&clerk.mutex)
    return busy


cdef bint clerk_synced(Node* node, int* error) noexcept nogil:
    """Was all synced since the last question, and nothing more is waiting? `error`: an errno, or 0."""
    cdef Clerk* clerk = <Clerk*> node.log.clerk
    cdef bint synced
    pthread_mutex_lock(&clerk.mutex)
    synced = clerk.synced and clerk.syncing == 0
    error[0] = clerk.sync_error
    clerk.synced = False
    clerk.sync_error = 0
    pthread_mutex_unlock(&clerk.mutex)
    return synced


cdef bint clerk_prepared(Node* node, int* fd, int* error) noexcept nogil:
    """Is what clerk_prepare() asked for done? `fd`: of the new file, -1 with an errno in `error`."""
    cdef Clerk* clerk = <Clerk*> node.log.clerk
    cdef bint prepared
    pthread_mutex_lock(&clerk.mutex)
    prepared = clerk.prepared
    fd[0] = clerk.prepared_fd
    error[0] = clerk.prepared_error
    clerk.prepared = False
    pthread_mutex_unlock(&clerk.mutex)
    return prepared
