# cython: language_level=3
"""Watch: WATCH and UNWATCH. A client whose watched key was changed is marked, and its next EXEC answers nil.

Told by changes.pyx. A key that had already expired when WATCH came may be removed without that being a change, and one
that expires later is a change even if nobody has removed it yet; both are Redis's rules.
"""

from storenode.types cimport Call, Client, Database, Slice

cdef void command_watch(Call* call) noexcept nogil
cdef void command_unwatch(Call* call) noexcept nogil
cdef void watch_touch(Database* database, const Slice* key) noexcept nogil
cdef void watch_touch_all(Database* database) noexcept nogil
cdef void watch_swapped(Database* one, Database* other) noexcept nogil
cdef bint watch_broken(Client* client) noexcept nogil
cdef void watch_end(Client* client) noexcept nogil
