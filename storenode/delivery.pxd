# cython: language_level=3
"""Delivery: output that a client owes to somebody else's command.

What appends to the output of a client other than the one being served (a message, an invalidation, the answer to a
blocked client) calls client_touch(); at the end of the turn the loop writes all touched clients, lets those go on whose
requests waited, and closes those that are finished. A command never writes to a socket itself.

What is to reach the client being served without being its reply waits in Node.deferred until that is complete.
"""

from libc.stdint cimport uint64_t

from proxy.wire.output cimport Output, output_join
from storenode.types cimport OUTPUT_NORMAL, OUTPUT_PUBSUB, Client, Node


cdef inline void client_touch(Node* node, Client* client) noexcept nogil:
    """Have the client's output written at the end of this turn. Any number of times; also for the one being served."""
    if not client.touched:
        client.touched = True
        client.next_touched = node.touched
        node.touched = client


cdef inline Output* output_for(Node* node, Client* client) noexcept nogil:
    """Where to append a message that no command of the client asked for; not for a client that is closing."""
    cdef uint64_t hard
    if client == node.served:
        return &node.deferred
    client_touch(node, client)
    hard = node.output_limits[OUTPUT_PUBSUB if client.subscriptions else OUTPUT_NORMAL].hard
    if hard and client.output.length >= hard:
        client.overrun = True
        client.closing = True
    return &client.output


cdef inline void end_reply(Node* node) noexcept nogil:
    """The reply to the client being served is complete."""
    if node.deferred.length:
        output_join(&node.served.output, &node.chunks, &node.deferred)
