# cython: language_level=3
"""Rewrites: the command that stands for what a command did, where repeating its words would not do the same again.

Most commands are repeated as they were asked. Those that look at the clock (SET EX, EXPIRE, GETEX), take at random
(SPOP), round (INCRBYFLOAT) or depend on the order of a hash table (SORT … STORE) become one that names the result, as
Redis does. The result is read from the keyspace after the command, so what the command's options meant matters not.
"""

from storenode.types cimport Call, Node

cdef void rewrites_open(Node* node) noexcept nogil
