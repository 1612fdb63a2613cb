# cython: language_level=3, boundscheck=False, wraparound=False, cdivision=True, initializedcheck=False
"""Call: room for arguments. What every request passes is in call.pxd, to be compiled into its callers."""

from libc.stdio cimport fprintf, stderr
from libc.stdlib cimport abort, free, malloc

from storenode.monitor cimport monitor_send, monitor_write
from storenode.text cimport Text
from storenode.types cimport Call, Node, Row, Slice


cdef void call_room(Node* node, size_t argc) noexcept nogil:
    """Make room for so many arguments."""
    free(node.argv)
    node.argv_room = argc if argc > ARGV_KEPT else ARGV_KEPT
    node.argv = <Slice*> malloc(node.argv_room * sizeof(Slice))
    if node.argv == NULL:
        fprintf(stderr, "quench: out of memory for a request of %zu arguments\n", argc)
        abort()


cdef void call_monitored(Call* call, Row* row) noexcept nogil:
    """call_invoke() while somebody watches."""
    cdef Text line = Text(data=NULL, length=0, room=0)
    monitor_write(call, row, &line)
    call_invoke(call, row.handler)
    monitor_send(call, &line)
