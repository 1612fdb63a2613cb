# cython: language_level=3
"""ACL: signing in, refusing, the log of refusals, and the commands that show and change users."""

from storenode.text cimport Text
from storenode.types cimport Call, Node, Row, Slice, User

cdef enum:
    ERROR_ROOM = 512           # bytes of a sentence on what is wrong with a rule

cdef void acl_refused(Call* call, int reason, const Slice* object) noexcept nogil
cdef bint acl_login(Call* call, const Slice* name, const Slice* password) noexcept nogil
cdef const char* acl_check(Call* call, const Row* row, char* room, size_t size) noexcept nogil
cdef bint acl_rules(Node* node, User* user, const Slice* argv, int argc, const char* where,
                    char* problem) noexcept nogil
cdef void acl_describe(Text* text, const User* user) noexcept nogil
cdef void acl_close(Node* node) noexcept nogil
cdef void command_acl_cat(Call* call) noexcept nogil
cdef void command_acl_deluser(Call* call) noexcept nogil
cdef void command_acl_dryrun(Call* call) noexcept nogil
cdef void command_acl_genpass(Call* call) noexcept nogil
cdef void command_acl_getuser(Call* call) noexcept nogil
cdef void command_acl_list(Call* call) noexcept nogil
cdef void command_acl_log(Call* call) noexcept nogil
cdef void command_acl_setuser(Call* call) noexcept nogil
cdef void command_acl_users(Call* call) noexcept nogil
cdef void command_acl_whoami(Call* call) noexcept nogil
