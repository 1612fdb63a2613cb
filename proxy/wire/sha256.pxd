# cython: language_level=3
"""SHA-256: what passwords are kept as and compared as. Asked for by AUTH and HELLO alone."""

cdef void sha256(const unsigned char* message, size_t length, unsigned char* digest) noexcept nogil
