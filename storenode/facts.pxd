# cython: language_level=3
"""Facts: what COMMAND and ACL say of each command, word for word as the proxy's table has it (a test compares them)."""

from storenode.types cimport Fact

cdef const Fact* fact_find(const char* name) noexcept nogil
