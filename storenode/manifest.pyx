# cython: language_level=3, boundscheck=False, wraparound=False, cdivision=True, initializedcheck=False
"""Manifest: reading and replacing. See manifest.pxd."""

from libc.errno cimport ENOENT
from libc.stdint cimport uint64_t
from libc.stdio cimport snprintf, sscanf
from libc.string cimport memchr, memcpy, strcmp, strcpy, strerror

from proxy.wire.system cimport close, errno
from storenode.disk cimport FILE_ROOM, Manifest
from storenode.files cimport (
    O_CLOEXEC, O_CREAT, O_TRUNC, O_WRONLY, WHOLE_PATH, Mapped, file_map, file_replace, file_sync_folder, file_unmap,
    file_write, fsync, open, unlink,
)
from storenode.text cimport Text, text_add, text_free
from storenode.types cimport Node

cdef enum:
    LINE_MOST = 512            # bytes of a line of a manifest


cdef void manifest_open(Node* node) noexcept nogil:
    """The folder, as configured now. The files' names begin as manifest.name says."""
    snprintf(node.log.manifest.folder, sizeof(node.log.manifest.folder), b"%s/%s", node.folder, node.log_folder)


cdef void manifest_base(const Manifest* manifest, char* path) noexcept nogil:
    """Path of the base, into WHOLE_PATH bytes."""
    snprintf(path, WHOLE_PATH, b"%s/%s", manifest.folder, manifest.base)


cdef void manifest_increment(const Manifest* manifest, uint64_t number, char* path) noexcept nogil:
    """Path of an increment, into WHOLE_PATH bytes."""
    snprintf(path, WHOLE_PATH, b"%s/%s.%llu.incr.aof", manifest.folder, manifest.name, <unsigned long long> number)


cdef void manifest_path(const Manifest* manifest, char* path) noexcept nogil:
    snprintf(path, WHOLE_PATH, b"%s/%s.manifest", manifest.folder, manifest.name)


cdef bint read_line(Manifest* manifest, const char* line) noexcept nogil:
    """One line, ended by a NUL. Increments have to follow each other without a gap, or something is missing."""
    cdef char file[FILE_ROOM]
    cdef char own[FILE_ROOM * 2]
    cdef char kind[2]
    cdef unsigned long long number
    if line[0] == c'#' or line[0] == 0:
        return True
    if sscanf(line, b"file %127s seq %llu type %1s", file, &number, kind) != 3 or number == 0:
        return False
    if kind[0] == c'h':
        return True
    if kind[0] == c'b':
        if manifest.base_number:
            return False
        strcpy(manifest.base, file)
        manifest.base_number = number
        return True
    snprintf(own, sizeof(own), b"%s.%llu.incr.aof", manifest.name, number)
    if kind[0] != c'i' or strcmp(own, file) != 0 or (manifest.last and number != manifest.last + 1):
        return False
    if manifest.first == 0:
        manifest.first = number
    manifest.last = number
    return True


cdef int manifest_read(Node* node) noexcept nogil:
    """Read it into node.log.manifest; a ManifestStatus."""
    cdef Manifest* manifest = &node.log.manifest
    cdef char path[WHOLE_PATH]
    cdef char line[LINE_MOST]
    cdef Mapped mapped
    cdef const char* at
    cdef const char* end
    cdef const char* stop
    cdef size_t length
    cdef int count = 0
    manifest.base_number = 0
    manifest.base[0] = 0
    manifest.first = 0
    manifest.last = 0
    manifest_path(manifest, path)
    if not file_map(path, &mapped):
        if errno == ENOENT:
            return MANIFEST_ABSENT
        snprintf(node.problem, sizeof(node.problem), b"cannot read %s: %s", path, strerror(errno))
        return MANIFEST_BROKEN
    at = mapped.data
    end = at + mapped.length
    while at < end:
        count += 1
        stop = <const char*> memchr(at, c'\n', end - at)
        length = (stop if stop != NULL else end) - at
        if stop == NULL or length >= LINE_MOST:
            break
        memcpy(line, at, length)
        line[length - 1 if length and line[length - 1] == c'\r' else length] = 0
        if not read_line(manifest, line):
            break
        at = stop + 1
    if at < end or (manifest.base_number == 0 and manifest.last == 0):
        snprintf(node.problem, sizeof(node.problem),
                 b"%s, line %d: not what a manifest of a log has there; repair it, restore it from a backup, or move "
                 b"%s away to start from the snapshot alone", path, count, manifest.folder)
        file_unmap(&mapped)
        return MANIFEST_BROKEN
    file_unmap(&mapped)
    return MANIFEST_READ


cdef int manifest_write(const Manifest* manifest) noexcept nogil:
    """Replace it, durably; returns 0 or an errno, and the old one is then untouched."""
    cdef Text text = Text(data=NULL, length=0, room=0)
    cdef char path[WHOLE_PATH]
    cdef char temporary[WHOLE_PATH]
    cdef char line[LINE_MOST]
    cdef uint64_t number = manifest.first
    cdef int error = 0
    cdef int fd
    manifest_path(manifest, path)
    snprintf(temporary, sizeof(temporary), b"%s/%s.manifest.temp", manifest.folder, manifest.name)
    if manifest.base_number:
        snprintf(line, sizeof(line), b"file %s seq %llu type b\n", manifest.base,
                 <unsigned long long> manifest.base_number)
        text_add(&text, line)
    while number and number <= manifest.last:
        snprintf(line, sizeof(line), b"file %s.%llu.incr.aof seq %llu type i\n", manifest.name,
                 <unsigned long long> number, <unsigned long long> number)
        text_add(&text, line)
        number += 1
    fd = open(temporary, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0o644)
    if fd < 0:
        error = errno
    else:
        if file_write(fd, text.data, text.length) != text.length or fsync(fd) < 0:
            error = errno
        close(fd)
        if error == 0 and not file_replace(temporary, path, manifest.folder):
            error = errno
        if error:
            unlink(temporary)
    text_free(&text)
    return error


cdef int manifest_rebase(const Manifest* old, const Manifest* new) noexcept nogil:
    """Go from one log to another whose files are all there, and remove what only the old one has."""
    cdef char path[WHOLE_PATH]
    cdef uint64_t number = old.first
    cdef int error = manifest_write(new)
    if error:
        return error
    if old.base_number and old.base_number != new.base_number:
        manifest_base(old, path)
        unlink(path)
    while number and number <= old.last:
        if number < new.first:
            manifest_increment(old, number, path)
            unlink(path)
        number += 1
    file_sync_folder(new.folder)
    return 0
