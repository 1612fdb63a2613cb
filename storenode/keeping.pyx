# cython: language_level=3, boundscheck=False, wraparound=False, cdivision=True, initializedcheck=False
"""Keeping. See keeping.pxd. What is wrong with a value is said in redis-server's words."""

from libc.stdint cimport uint64_t
from libc.stdio cimport snprintf
from libc.string cimport memchr, memcpy, strcpy, strerror, strlen

from proxy.wire.resp cimport read_number
from proxy.wire.system cimport close, errno
from storenode.arguments cimport is_word
from storenode.disk cimport FILE_ROOM, PATH_ROOM, POINTS_MOST, SYNC_ALWAYS, SYNC_EVERYSEC, SYNC_NO, SavePoint
from storenode.files cimport O_CLOEXEC, O_DIRECTORY, O_RDONLY, open
from storenode.log cimport log_switch
from storenode.types cimport Node, Slice

cdef extern from "<stdlib.h>" nogil:
    char* realpath(const char* path, char* resolved)
    void free(void* block)

cdef const char* policies[3]
policies[<int> SYNC_NO] = b"no"
policies[<int> SYNC_EVERYSEC] = b"everysec"
policies[<int> SYNC_ALWAYS] = b"always"


cdef void keeping_open(Node* node) noexcept nogil:
    """Nothing is kept, and if it were, in the current folder."""
    cdef char* here = realpath(b".", NULL)
    strcpy(node.folder, b".")
    if here != NULL and strlen(here) < PATH_ROOM:
        strcpy(node.folder, here)
    free(here)
    strcpy(node.log_folder, b"appendonlydir")
    strcpy(node.snapshots.name, b"dump.rdb")
    strcpy(node.log.manifest.name, b"appendonly.aof")
    node.log.policy = SYNC_EVERYSEC
    node.snapshots.took_s = -1
    node.log.took_s = -1


cdef void keeping_show(const Node* node, int which, char* text) noexcept nogil:
    """A value as CONFIG GET has it, into KEPT_ROOM bytes."""
    cdef int index
    cdef int used = 0
    text[0] = 0
    if which == KEPT_DIR:
        strcpy(text, node.folder)
    elif which == KEPT_SNAPSHOT:
        strcpy(text, node.snapshots.name)
    elif which == KEPT_LOG:
        strcpy(text, b"yes" if node.log.on else b"no")
    elif which == KEPT_SYNC:
        strcpy(text, policies[node.log.policy])
    elif which == KEPT_LOG_NAME:
        strcpy(text, node.log.manifest.name)
    elif which == KEPT_LOG_FOLDER:
        strcpy(text, node.log_folder)
    else:
        for index in range(node.snapshots.point_count):
            if index:
                text[used] = c' '
                used += 1
            used += snprintf(text + used, KEPT_ROOM - used, b"%llu %llu",
                             <unsigned long long> node.snapshots.points[index].seconds,
                             <unsigned long long> node.snapshots.points[index].changes)


cdef bint next_word(Slice* rest, Slice* word) noexcept nogil:
    while rest.length and rest.data[0] == c' ':
        rest.data += 1
        rest.length -= 1
    word.data = rest.data
    word.length = 0
    while rest.length and rest.data[0] != c' ':
        rest.data += 1
        rest.length -= 1
        word.length += 1
    return word.length > 0


cdef const char* apply_save(Node* node, const Slice* value, bint really) noexcept nogil:
    """`seconds changes seconds changes …`, or nothing for no snapshots but those that are asked for."""
    cdef SavePoint points[POINTS_MOST]
    cdef Slice rest = value[0]
    cdef Slice word
    cdef long long seconds, changes
    cdef int count = 0
    while next_word(&rest, &word):
        if count == POINTS_MOST or not read_number(word.data, word.length, &seconds) or seconds < 1 \
                or not next_word(&rest, &word) or not read_number(word.data, word.length, &changes) or changes < 0:
            return b"Invalid save parameters"
        points[count].seconds = <uint64_t> seconds
        points[count].changes = <uint64_t> changes
        count += 1
    if really:
        memcpy(node.snapshots.points, points, sizeof(points))
        node.snapshots.point_count = count
    return NULL


cdef const char* apply_folder(Node* node, const Slice* value, bint really) noexcept nogil:
    cdef char path[PATH_ROOM]
    cdef char* whole
    cdef int fd
    if value.length == 0 or value.length >= PATH_ROOM or memchr(value.data, 0, value.length) != NULL:
        return b"the path is empty, too long or has a NUL byte"
    memcpy(path, value.data, value.length)
    path[value.length] = 0
    fd = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC)
    if fd < 0:
        return strerror(errno)
    close(fd)
    if node.log.on and node.started:
        return b"the log is open there; set appendonly to no first"
    whole = realpath(path, NULL)
    if whole == NULL or strlen(whole) >= PATH_ROOM:
        free(whole)
        return b"the path is too long"
    if really:
        strcpy(node.folder, whole)
    free(whole)
    return NULL


cdef const char* apply_name(char* name, const Slice* value, bint really) noexcept nogil:
    """A file's name, without a folder."""
    if value.length == 0 or value.length > FILE_ROOM - 32 or memchr(value.data, 0, value.length) != NULL:
        return b"the name is empty or too long"
    if memchr(value.data, c'/', value.length) != NULL:
        return b"dbfilename can't be a path, just a filename"
    if really:
        memcpy(name, value.data, value.length)
        name[value.length] = 0
    return NULL


cdef const char* keeping_apply(Node* node, int which, const Slice* value, bint really) noexcept nogil:
    """Check a value and, if `really`, use it. NULL: good; otherwise what is wrong with it."""
    cdef int policy = 0
    if which == KEPT_SAVE:
        return apply_save(node, value, really)
    if which == KEPT_DIR:
        return apply_folder(node, value, really)
    if which == KEPT_SNAPSHOT:
        return apply_name(node.snapshots.name, value, really)
    if which == KEPT_SYNC:
        while policy < 3 and not is_word(value, policies[policy]):
            policy += 1
        if policy == 3:
            return b"argument(s) must be one of the following: everysec, always, no"
        if really:
            node.log.policy = policy
        return NULL
    if which == KEPT_LOG:
        if not is_word(value, b"yes") and not is_word(value, b"no"):
            return b"argument must be 'yes' or 'no'"
        if really and node.started:
            log_switch(node, is_word(value, b"yes"))
        elif really:
            node.log.on = is_word(value, b"yes")
        return NULL
    if node.started:
        return b"can't set immutable config"
    if which == KEPT_LOG_NAME:
        return apply_name(node.log.manifest.name, value, really)
    return apply_name(node.log_folder, value, really)
