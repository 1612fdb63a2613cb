# cython: language_level=3
"""Log: every effect of a turn is appended to a file before the turn's replies are sent (appendonly yes).

`always`: and synced, once for all clients of the turn. `everysec`: the clerk syncs once a second. `no`: the kernel
writes when it likes. While the file takes nothing (disk full), what is owed to it waits in memory, writes are refused
and once a second it is tried again; nothing is ever written past a gap.

A rewrite replaces base and increments by a new base: the clerk makes the next increment and names it in the manifest,
the turn that finds it ready goes over to it and forks, and the child writes the new base, renames it into place,
replaces the manifest and removes the old files. The thread that serves waits for none of this but the fork.
"""

from storenode.types cimport Node

cdef bint log_begin(Node* node) noexcept nogil
cdef void log_turn(Node* node) noexcept nogil
cdef void log_tick(Node* node) noexcept nogil
cdef void log_switch(Node* node, bint on) noexcept nogil
cdef bint log_resume(Node* node) noexcept nogil
cdef bint log_end(Node* node) noexcept nogil
