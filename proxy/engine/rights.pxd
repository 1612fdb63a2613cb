# cython: language_level=3
"""Rights: who a client is, and whether that user may do what it asks. Between steps 3 and 4 of a request's life.

A client whose user may do everything (CLIENT_RESTRICTED is not set) never comes here with a request.
"""

from proxy.engine.types cimport Client, Core, Row
from proxy.wire.resp cimport Frame

cdef enum Denial:              # control/denials.py has the same; of several selectors the largest tells
    DENIED_NOT = 0
    DENIED_COMMAND = 1
    DENIED_KEY = 2
    DENIED_AUTH = 3
    DENIED_CHANNEL = 4
    DENIED_SCRIPT = 5

cdef void user_default(Client* client) noexcept nogil
cdef bint user_authenticate(Core* core, Client* client, const Frame* frame, const char* name, size_t name_length,
                            const char* password, size_t length) noexcept nogil
cdef bint permitted(Core* core, Client* client, Row* row, const Frame* frame) noexcept nogil
