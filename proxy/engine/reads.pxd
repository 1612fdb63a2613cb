# cython: language_level=3
"""Reads: which node of a key's, its own or a replica, is asked; and who is asked again. Step 4b of a request's life.

In pools with replicas and, as far as asking again is concerned, with copies on the ring (`replication: ring`). Any other
request goes to the key's own node, and so does a read of a client that has a request unanswered that may write the key. A
read is asked again
  * at once, when its node or the connection to it is lost, or serves nobody now (-LOADING, -BUSY, -MASTERDOWN);
  * when half of its deadline is over: the other half is another node's;
  * before that, if the pool hedges: when it takes longer than others do, within a budget.
"""

from proxy.engine.types cimport Client, Conn, Core, Node, Pool, Row

cdef Conn* reads_conn(Core* core, Client* client, Row* row, Node* home) noexcept nogil
cdef bint reads_elsewhere(Core* core, Client* client, Node* home) noexcept nogil
cdef void reads_resend(Core* core) noexcept nogil
cdef void reads_late(Core* core) noexcept nogil
cdef void reads_tick(Core* core) noexcept nogil
