# cython: language_level=3
"""HyperLogLog: how many different elements, in 12 KiB at most and with an error of 0.8 %. PFADD, PFCOUNT, PFMERGE.

The strings are Redis's own, so that they may be copied from and to one: 16 bytes of header, then 2^14 registers of six
bits, packed ("dense") or, while few are set, as runs ("sparse"). An element's 64-bit hash chooses a register by its
lowest 14 bits, and the register keeps the longest run of zeros, plus one, that the others have ended with.

After Flajolet, Fusy, Gandouet, Meunier (2007), with the estimator of Otmar Ertl (arXiv:1702.01284), as in Redis.
"""

from storenode.types cimport Call

cdef void command_pfadd(Call* call) noexcept nogil
cdef void command_pfcount(Call* call) noexcept nogil
cdef void command_pfmerge(Call* call) noexcept nogil
