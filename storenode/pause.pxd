# cython: language_level=3
"""Pause: CLIENT PAUSE, UNPAUSE and REPLY: clients that are not executed for a while, or not answered.

A request that has to wait stays in its client's input (Client.held), and all behind it; the client goes on where it
stopped when the pause ends.
"""

from storenode.types cimport Call, Client, Node, Row

cdef enum:                     # Client.quiet: replies that are thrown away
    QUIET_OFF = 1              # all, until CLIENT REPLY ON
    QUIET_NEXT = 2             # from the next request on: the one after CLIENT REPLY SKIP
    QUIET_ONE = 3              # that of the request at hand

cdef bint pause_holds(Node* node, Client* client, const Row* row) noexcept nogil
cdef void pause_end(Node* node) noexcept nogil
cdef void end_quiet(Node* node, Client* client) noexcept nogil
cdef void command_client_pause(Call* call) noexcept nogil
cdef void command_client_unpause(Call* call) noexcept nogil
cdef void command_client_reply(Call* call) noexcept nogil
