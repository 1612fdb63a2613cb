# cython: language_level=3, boundscheck=False, wraparound=False, cdivision=True, initializedcheck=False
# Groups of keys that live together because of how they begin, or what is in them.
#
# Owned by a Ring, built with it and never written again.  In a request's life: ring.pyx asks here before it hashes.


cdef struct Prefix:
    unsigned long long head  # its first 8 bytes as they lie in memory, zeros behind a shorter one
    unsigned long long mask  # 0xff for each byte of the head that counts
    const char* text  # in Groups.texts
    unsigned int length  # bytes, from 1
    unsigned int hash  # of the group's name: the place of every key of the group
    unsigned int group  # its number, in the order given


cdef struct Groups:
    unsigned int first[257]  # byte -> the first prefix that begins with it, or where it would be; [256]: how many
    Prefix* prefixes  # owned; by first byte, then the longest first; behind them those that may be anywhere
    unsigned int anywhere  # how many of those
    char* texts  # owned; the prefixes, one after the other


# From {name: [prefix, ...]}, all bytes; holds the GIL.  Raises ValueError, saying what to change, or MemoryError.
cdef Groups* groups_build(dict groups, int hash_kind) except NULL
cdef void groups_free(Groups* groups) noexcept nogil

# The longest prefix that the key begins with, else the longest text that is somewhere in it, or NULL.
cdef const Prefix* groups_find(const Groups* groups, const char* key, size_t length) noexcept nogil
