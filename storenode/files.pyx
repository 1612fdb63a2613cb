# cython: language_level=3, boundscheck=False, wraparound=False, cdivision=True, initializedcheck=False
"""Files. See files.pxd. Whatever fails leaves its reason in errno."""

from proxy.wire.system cimport EAGAIN, EINTR, EWOULDBLOCK, close, errno, write

cdef extern from "<poll.h>" nogil:
    cdef struct pollfd:
        int fd
        short events
    short POLLOUT
    int poll(pollfd* waiting, unsigned long count, int timeout_ms)

cdef enum:
    WAIT_MS = 60000            # that a socket may take nothing: repl-timeout as it is usually set


cdef size_t file_write(int fd, const char* data, size_t length) noexcept nogil:
    """Write all, also to a socket that takes no more for a while; returns how much was written, less after an error."""
    cdef size_t done = 0
    cdef ssize_t count
    cdef pollfd ready
    while done < length:
        count = write(fd, data + done, length - done)
        if count < 0:
            if errno == EINTR:
                continue
            if errno == EAGAIN or errno == EWOULDBLOCK:
                ready.fd = fd
                ready.events = POLLOUT
                if poll(&ready, 1, WAIT_MS) > 0:
                    continue
            return done
        done += count
    return done


cdef bint file_sync_folder(const char* folder) noexcept nogil:
    """Make names that were created, renamed or removed in a folder durable."""
    cdef int fd = open(folder, O_RDONLY | O_DIRECTORY | O_CLOEXEC)
    cdef bint good
    if fd < 0:
        return False
    good = fsync(fd) == 0
    close(fd)
    return good


cdef bint file_replace(const char* temporary, const char* path, const char* folder) noexcept nogil:
    """Give a file that is written and synced its name, for good."""
    return rename(temporary, path) == 0 and file_sync_folder(folder)


cdef bint file_map(const char* path, Mapped* mapped) noexcept nogil:
    """Map a file for reading. False: it cannot be had."""
    cdef int fd = open(path, O_RDONLY | O_CLOEXEC)
    cdef long long length
    cdef void* data
    mapped.data = NULL
    mapped.length = 0
    if fd < 0:
        return False
    length = lseek(fd, 0, SEEK_END)
    if length > 0:
        data = mmap(NULL, <size_t> length, PROT_READ, MAP_PRIVATE, fd, 0)
        if data != MAP_FAILED:
            madvise(data, <size_t> length, MADV_SEQUENTIAL)
            mapped.data = <const char*> data
            mapped.length = <size_t> length
    close(fd)
    return length == 0 or mapped.data != NULL


cdef void file_unmap(Mapped* mapped) noexcept nogil:
    if mapped.data != NULL:
        munmap(<void*> mapped.data, mapped.length)
    mapped.data = NULL


