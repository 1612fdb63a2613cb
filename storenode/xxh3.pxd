# cython: language_level=3
"""XXH3, 64 bits, without a seed: what DIGEST answers, and what clients compute for IFDEQ and IFDNE.

After the specification of the algorithm (xxHash 0.8, doc/xxhash_spec.md), in portable code: about 8 GB/s where the
compiler can use vectors. Little-endian machines only, as all of this node.
"""

from libc.stdint cimport uint64_t

cdef uint64_t xxh3(const char* data, size_t length) noexcept nogil
