# cython: language_level=3
"""Manifest: which files a log consists of, in order. Files and names are those of redis-server 7.0.

    appendonlydir/appendonly.aof.manifest          file appendonly.aof.2.base.rdb seq 2 type b
                  appendonly.aof.2.base.rdb        file appendonly.aof.3.incr.aof seq 3 type i
                  appendonly.aof.3.incr.aof

The base is a snapshot and the increments are commands in RESP. The manifest is replaced as a whole, so that at any
moment it names a log that is complete; files that it does not name are leftovers.
"""

from libc.stdint cimport uint64_t

from storenode.disk cimport Manifest
from storenode.types cimport Node

cdef enum ManifestStatus:
    MANIFEST_READ = 0
    MANIFEST_ABSENT = 1
    MANIFEST_BROKEN = 2        # node.problem says why

cdef void manifest_open(Node* node) noexcept nogil
cdef int manifest_read(Node* node) noexcept nogil
cdef int manifest_write(const Manifest* manifest) noexcept nogil
cdef void manifest_base(const Manifest* manifest, char* path) noexcept nogil
cdef void manifest_increment(const Manifest* manifest, uint64_t number, char* path) noexcept nogil
cdef int manifest_rebase(const Manifest* old, const Manifest* new) noexcept nogil
