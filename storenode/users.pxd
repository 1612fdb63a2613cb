# cython: language_level=3
"""Users: who may do what. Rules in Redis's syntax, and the question whether a request is allowed.

A rule is read by user_rule(), the later prevailing over the earlier. Commands are bits, one for each row of the command
table, so asking costs one look whatever the rules said; their words are kept beside, because ACL LIST shows them. A
client of a user who may do everything is marked (Client.trusted) and is never asked about: the default user is such a
one until it is changed.
"""

from storenode.types cimport Client, Node, Row, Slice, User

cdef enum Denied:              # why; the reasons of ACL LOG
    ALLOWED = 0
    NO_COMMAND = 1
    NO_KEY = 2
    NO_CHANNEL = 3
    NO_USER = 4                # wrong name or password

cdef void users_open(Node* node) noexcept nogil
cdef User* user_find(Node* node, const Slice* name) noexcept nogil
cdef User* user_make(Node* node, const Slice* name) noexcept nogil
cdef User* user_copy(const User* user) noexcept nogil
cdef void user_take(Node* node, User* user, User* source) noexcept nogil
cdef void user_add(Node* node, User* user) noexcept nogil
cdef void user_remove(Node* node, User* user) noexcept nogil
cdef void user_free(User* user) noexcept nogil
cdef const char* user_rule(Node* node, User* user, const Slice* rule) noexcept nogil
cdef void user_password(Node* node, const Slice* password) noexcept nogil
cdef bint user_knows(const User* user, const Slice* password) noexcept nogil
cdef void client_as(Node* node, Client* client, User* user) noexcept nogil
cdef int user_may(const User* user, const Row* row, int number, const Slice* argv, int argc, int* at) noexcept nogil
