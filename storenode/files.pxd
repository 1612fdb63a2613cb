# cython: language_level=3
"""Files: the kernel's calls about files that persistence makes, and the few that are never made alone."""

cdef enum:
    WHOLE_PATH = 1400          # bytes of a folder, a name and what lies between

cdef extern from "<fcntl.h>" nogil:
    int O_RDONLY, O_WRONLY, O_RDWR, O_CREAT, O_TRUNC, O_APPEND, O_CLOEXEC, O_DIRECTORY, O_EXCL
    int open(const char* path, int flags, ...)

cdef extern from "<stdio.h>" nogil:
    int rename(const char* old, const char* new)

cdef extern from "<sys/stat.h>" nogil:
    int mkdir(const char* path, unsigned int mode)

cdef extern from "<unistd.h>" nogil:
    int fsync(int fd)
    int fdatasync(int fd)
    int ftruncate(int fd, long long length)
    int unlink(const char* path)
    long long lseek(int fd, long long offset, int whence)
    int SEEK_END

cdef extern from "<sys/mman.h>" nogil:
    int PROT_READ, MAP_PRIVATE, MADV_SEQUENTIAL
    void* MAP_FAILED
    void* mmap(void* address, size_t length, int protection, int flags, int fd, long long offset)
    int munmap(void* address, size_t length)
    int madvise(void* address, size_t length, int advice)

cdef struct Mapped:            # a whole file, to be read
    const char* data           # NULL: it is empty
    size_t length

cdef size_t file_write(int fd, const char* data, size_t length) noexcept nogil
cdef bint file_sync_folder(const char* folder) noexcept nogil
cdef bint file_map(const char* path, Mapped* mapped) noexcept nogil
cdef void file_unmap(Mapped* mapped) noexcept nogil
cdef bint file_replace(const char* temporary, const char* path, const char* folder) noexcept nogil
