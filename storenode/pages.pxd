# cython: language_level=3
"""Pages: before a fork the heap is folded into huge pages, so that the fork is short.

What a fork costs the thread that serves is the copy of its page tables, all in one piece: 35 ms for a gigabyte of 4 KiB
pages, 1 ms for the same in pages of 2 MiB. The first write to a huge page while there is a child splits it (15 us) and
copies 4 KiB, as ever, so after a while the heap is in small pages again; and what malloc adds is so from the start.
Hence before each fork a thread of its own has madvise(MADV_COLLAPSE) go through the heap once: 0.1 s for 300 MB. The
call waits for other processors, which the thread that serves must not; what that one may notice is that memory being
folded just now, 2 MiB at a time, cannot be reached for 0.2 ms.

Linux 6.1 has it; where it fails the fork is as long as it always was. A huge page is made only where nearly all of it is
in use, so the process grows by a few per cent at the very most.
"""

from storenode.types cimport Node

cdef bint pages_ready(Node* node) noexcept nogil
cdef bint pages_turn(Node* node) noexcept nogil
cdef void pages_close(Node* node) noexcept nogil
