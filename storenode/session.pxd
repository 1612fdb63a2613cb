# cython: language_level=3
"""Session commands: those that are about the connection. HELLO, AUTH, SELECT, CLIENT …, PING."""

from storenode.text cimport Text
from storenode.types cimport Call, Client, Node

cdef void client_describe(Node* node, Client* client, Text* text) noexcept nogil
cdef void command_ping(Call* call) noexcept nogil
cdef void command_echo(Call* call) noexcept nogil
cdef void command_quit(Call* call) noexcept nogil
cdef void command_reset(Call* call) noexcept nogil
cdef void command_select(Call* call) noexcept nogil
cdef void command_time(Call* call) noexcept nogil
cdef void command_hello(Call* call) noexcept nogil
cdef void command_auth(Call* call) noexcept nogil
cdef void command_client_id(Call* call) noexcept nogil
cdef void command_client_setname(Call* call) noexcept nogil
cdef void command_client_getname(Call* call) noexcept nogil
cdef void command_client_setinfo(Call* call) noexcept nogil
cdef void command_client_info(Call* call) noexcept nogil
cdef void command_client_list(Call* call) noexcept nogil
cdef void command_client_kill(Call* call) noexcept nogil
cdef void command_client_no_evict(Call* call) noexcept nogil
cdef void command_client_no_touch(Call* call) noexcept nogil

cdef extern from *:
    """
    #define STORE_VERSION "7.2.0"
    """
    const char* STORE_VERSION      # the redis_version that clients are told: which commands and replies to expect
