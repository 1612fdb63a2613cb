# cython: language_level=3, boundscheck=False, wraparound=False, cdivision=True, initializedcheck=False
"""ACL file: reading all of it or nothing, writing it beside and renaming. See aclfile.pxd."""

from libc.stdio cimport FILE, fclose, fflush, fopen, fread, fwrite, remove, rename, snprintf
from libc.string cimport memchr

from storenode.acl cimport ERROR_ROOM, acl_describe, acl_rules
from storenode.answer cimport answer_error, answer_ok
from storenode.arguments cimport same_bytes
from storenode.text cimport Text, text_add, text_free, text_room
from storenode.types cimport Call, Node, Slice, User
from storenode.users cimport user_add, user_find, user_free, user_make, user_remove, user_take
from storenode.words cimport word_is, word_text

cdef extern from "<unistd.h>" nogil:
    int fsync(int fd)

cdef extern from "<stdio.h>" nogil:
    int fileno(FILE* file)

cdef enum:
    READ_AT_ONCE = 65536
    WORDS_MOST = 1024          # of a line
    PATH_ROOM = 4096

cdef const char* NO_FILE = (
    b"ERR This Redis instance is not configured to use an ACL file. You may want to specify users via the ACL SETUSER "
    b"command and then issue a CONFIG REWRITE (assuming you have a Redis configuration file set) in order to store "
    b"users in the Redis configuration.")


cdef bint read_whole(const char* path, Text* text) noexcept nogil:
    cdef FILE* file = fopen(path, b"rb")
    cdef size_t got
    if file == NULL:
        return False
    while True:
        got = fread(text_room(text, READ_AT_ONCE), 1, READ_AT_ONCE, file)
        text.length += got
        if got < READ_AT_ONCE:
            break
    fclose(file)
    return True


cdef int split(const char* line, size_t length, Slice* words) noexcept nogil:
    """The words of a line; more than WORDS_MOST: -1."""
    cdef size_t at = 0
    cdef int count = 0
    while at < length:
        while at < length and (line[at] == c' ' or c'\t' <= line[at] <= c'\r'):
            at += 1
        if at == length:
            break
        if count == WORDS_MOST:
            return -1
        words[count].data = line + at
        words[count].length = 0
        while at < length and line[at] != c' ' and not c'\t' <= line[at] <= c'\r':
            at += 1
            words[count].length += 1
        count += 1
    return count


cdef User* find_read(User* users, const Slice* name) noexcept nogil:
    while users != NULL and not word_is(users.name, name):
        users = users.next
    return users


cdef bint read_line(Node* node, const char* line, size_t length, int number, User** users,
                    char* problem) noexcept nogil:
    """Add the user of a line to `users`; blank lines and comments say nothing. False: it is wrong."""
    cdef Slice words[WORDS_MOST]
    cdef Slice first = Slice(data=b"user", length=4)
    cdef char wrong[ERROR_ROOM]
    cdef User* user
    cdef int count = split(line, length, words)
    if count == 0 or (count > 0 and words[0].data[0] == c'#'):
        return True
    if count < 2 or not same_bytes(&words[0], &first):
        snprintf(problem, FILE_PROBLEM_ROOM, b"%s:%d: a line begins with the word user and a name. ", node.aclfile, number)
        return False
    if find_read(users[0], &words[1]) != NULL:
        snprintf(problem, FILE_PROBLEM_ROOM, b"%s:%d: the user is defined twice. ", node.aclfile, number)
        return False
    user = user_make(node, &words[1])
    if not acl_rules(node, user, words + 2, count - 2, b"the file's", wrong):
        snprintf(problem, FILE_PROBLEM_ROOM, b"%s:%d: %s. ", node.aclfile, number, wrong)
        user_free(user)
        return False
    user.next = users[0]
    users[0] = user
    return True


cdef void drop_users(User* users) noexcept nogil:
    cdef User* following
    while users != NULL:
        following = users.next
        user_free(users)
        users = following


cdef void exchange(Node* node, User* users) noexcept nogil:
    """The users of the file are the users from now on; whoever is in it no more is disconnected. The default user stays
    as it is where the file has none."""
    cdef User* user = node.users
    cdef User* following
    cdef Slice name
    while user != NULL:
        following = user.next
        name.data = word_text(user.name)
        name.length = user.name.length
        if user != node.user_default and find_read(users, &name) == NULL:
            user_remove(node, user)
        user = following
    while users != NULL:
        following = users.next
        name.data = word_text(users.name)
        name.length = users.name.length
        user = user_find(node, &name)
        if user != NULL:
            user_take(node, user, users)
        else:
            user_add(node, users)
        users = following


cdef bint aclfile_load(Node* node, char* problem) noexcept nogil:
    """Read the file. False: something is wrong with it, `problem` says what, and nothing has changed."""
    cdef Text text = Text(data=NULL, length=0, room=0)
    cdef User* users = NULL
    cdef const char* line
    cdef const char* end
    cdef size_t left
    cdef int number = 1
    cdef bint good = True
    if not read_whole(node.aclfile, &text):
        snprintf(problem, FILE_PROBLEM_ROOM, b"%s: the file cannot be read. ", node.aclfile)
        return False
    line = text.data
    left = text.length
    while left and good:
        end = <const char*> memchr(line, c'\n', left)
        good = read_line(node, line, end - line if end != NULL else left, number, &users, problem)
        left = left - (end + 1 - line) if end != NULL else 0
        line = end + 1
        number += 1
    text_free(&text)
    if not good:
        drop_users(users)
        return False
    exchange(node, users)
    return True


cdef void command_acl_load(Call* call) noexcept nogil:
    cdef char problem[FILE_PROBLEM_ROOM]
    cdef char text[FILE_PROBLEM_ROOM + 128]
    if call.node.aclfile == NULL:
        answer_error(call, NO_FILE)
    elif aclfile_load(call.node, problem):
        answer_ok(call)
    else:
        snprintf(text, sizeof(text), b"ERR %sWARNING: ACL errors detected, no change to the previously active ACL "
                                     b"rules was performed", problem)
        answer_error(call, text)


cdef bint write_whole(const char* path, const Text* text) noexcept nogil:
    cdef FILE* file = fopen(path, b"wb")
    cdef bint good
    if file == NULL:
        return False
    good = fwrite(text.data, 1, text.length, file) == text.length and fflush(file) == 0 and fsync(fileno(file)) == 0
    return fclose(file) == 0 and good


cdef void command_acl_save(Call* call) noexcept nogil:
    """The file is whole at every moment: the new one takes the old one's name once it is on disk."""
    cdef char beside[PATH_ROOM]
    cdef Text text = Text(data=NULL, length=0, room=0)
    cdef const User* user = call.node.users
    if call.node.aclfile == NULL:
        answer_error(call, NO_FILE)
        return
    while user != NULL:
        acl_describe(&text, user)
        text_add(&text, b"\n")
        user = user.next
    if snprintf(beside, sizeof(beside), b"%s.new", call.node.aclfile) >= <int> sizeof(beside) \
            or not write_whole(beside, &text) or rename(beside, call.node.aclfile) != 0:
        remove(beside)
        answer_error(call, b"ERR There was an error trying to save the ACLs. Please check the server logs for more "
                           b"information")
    else:
        answer_ok(call)
    text_free(&text)
