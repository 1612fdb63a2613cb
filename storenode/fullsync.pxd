# cython: language_level=3
"""Full sync: a snapshot for a replica, written by a child straight to the replica's socket.

The thread that serves only forks, at the end of a turn; it never touches the snapshot's bytes. Meanwhile the replica's
place in the history is pinned where the snapshot was taken, so what changes is kept for it. One child at a time, one
replica a child: those that come meanwhile wait their turn.
"""

from storenode.types cimport Node

cdef void fullsync_turn(Node* node) noexcept nogil
