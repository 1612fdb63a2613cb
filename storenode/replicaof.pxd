# cython: language_level=3
"""Replicaof: the commands about roles (REPLICAOF, ROLE) and the section of INFO that tells them."""

from storenode.text cimport Text
from storenode.types cimport Call, Node

cdef void command_replicaof(Call* call) noexcept nogil
cdef void command_role(Call* call) noexcept nogil
cdef void build_replication(Node* node, Text* text) noexcept nogil
