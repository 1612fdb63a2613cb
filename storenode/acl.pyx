# cython: language_level=3, boundscheck=False, wraparound=False, cdivision=True, initializedcheck=False
"""ACL: handlers, and what happens when a request is refused. See acl.pxd; the rules themselves are in users.pyx."""

from libc.stdint cimport int64_t
from libc.stdio cimport snprintf
from libc.stdlib cimport free, malloc
from libc.string cimport memchr, strlen

from storenode.answer cimport (
    answer_array, answer_bulk, answer_double, answer_error, answer_map, answer_nil, answer_number, answer_ok,
    answer_set, answer_text,
)
from storenode.arguments cimport copy_text, is_word, take_integer
from storenode.catalog cimport CATEGORIES, category_find, category_name
from storenode.names cimport command_find, command_find_under
from storenode.manual cimport answer_try_help
from storenode.session cimport client_describe
from storenode.text cimport Text, text_add, text_bytes, text_free
from storenode.types cimport (
    ACLLOG_MOST, CONTAINER, KEY_READ, KEY_WRITE, Call, Node, Refusal, Row, Selector, Slice, User, Word,
)
from storenode.users cimport (
    ALLOWED, NO_CHANNEL, NO_COMMAND, NO_KEY, NO_USER, client_as, user_add, user_copy, user_find, user_free, user_knows,
    user_make, user_may, user_remove, user_rule, user_take,
)
from storenode.words cimport word_is, word_new, word_text, words_free

cdef extern from "<unistd.h>" nogil:
    int getentropy(void* buffer, size_t length)

cdef enum:
    ALIKE_MS = 60000           # refusals of one kind within so long are one entry of the log
    PASSWORD_BITS = 256
    PASSWORD_BITS_MOST = 4096

# -- signing in, and being refused -------------------------------------------------------------------------------------


cdef bint acl_login(Call* call, const Slice* name, const Slice* password) noexcept nogil:
    """Make the client this user, if it knows a password of it; otherwise answer so and return False."""
    cdef User* user = user_find(call.node, name)
    if user != NULL and user.on and user_knows(user, password):
        call.client.authenticated = True
        client_as(call.node, call.client, user)
        return True
    acl_refused(call, NO_USER, name)
    answer_error(call, b"WRONGPASS invalid username-password pair or user is disabled.")
    return False


cdef const char* acl_check(Call* call, const Row* row, char* room, size_t size) noexcept nogil:
    """What a client that is not trusted may not do, as the error that says so, in `room` where needed; NULL: it may."""
    cdef int at = 0
    cdef int reason
    cdef Slice name
    if not call.client.authenticated:
        return b"NOAUTH Authentication required."
    reason = user_may(call.client.user, row, <int> (row - call.node.rows), call.argv, call.argc, &at)
    if reason == ALLOWED:
        return NULL
    if reason == NO_COMMAND:
        name.data = row.name
        name.length = strlen(row.name)
        acl_refused(call, reason, &name)
        snprintf(room, size, b"NOPERM this user has no permissions to run the '%s' command", row.name)
        return room
    acl_refused(call, reason, &call.argv[at])
    if reason == NO_KEY:
        return b"NOPERM this user has no permissions to access one of the keys used as arguments"
    return b"NOPERM this user has no permissions to access one of the channels used as arguments"


cdef void refusal_free(Refusal* refusal) noexcept nogil:
    words_free(refusal.object)
    words_free(refusal.username)
    words_free(refusal.client)
    free(refusal)


cdef void log_limit(Node* node, int64_t most) noexcept nogil:
    """Forget the oldest entries beyond `most`."""
    cdef Refusal** place = &node.refusals
    cdef Refusal* gone
    while place[0] != NULL and most > 0:
        place = &place[0].next
        most -= 1
    while place[0] != NULL:
        gone = place[0]
        place[0] = gone.next
        node.refusal_count -= 1
        refusal_free(gone)


cdef void acl_refused(Call* call, int reason, const Slice* object) noexcept nogil:
    """Note in the log that the client, as its user, was refused; the object is a command, key, channel or user name."""
    cdef Node* node = call.node
    cdef Refusal** place = &node.refusals
    cdef Refusal* entry
    cdef const Word* user = call.client.user.name
    cdef Slice name
    cdef Text text = Text(data=NULL, length=0, room=0)
    name.data = word_text(user)
    name.length = user.length
    if reason == NO_USER:
        name = object[0]
    while place[0] != NULL and not (
            place[0].reason == reason and place[0].in_multi == node.in_exec and word_is(place[0].object, object)
            and word_is(place[0].username, &name) and node.now_ms - place[0].updated_ms <= ALIKE_MS):
        place = &place[0].next
    entry = place[0]
    if entry != NULL:
        place[0] = entry.next
        entry.count += 1
    else:
        entry = <Refusal*> malloc(sizeof(Refusal))
        if entry == NULL:
            return
        entry.id = node.refusal_next
        node.refusal_next += 1
        entry.count = 1
        entry.reason = reason
        entry.in_multi = node.in_exec
        entry.created_ms = node.now_ms
        entry.object = word_new(object.data, object.length)
        entry.username = word_new(name.data, name.length)
        node.refusal_count += 1
        entry.client = NULL
    words_free(entry.client)
    client_describe(node, call.client, &text)
    entry.client = word_new(text.data, text.length - (text.length > 0))
    text_free(&text)
    entry.updated_ms = node.now_ms
    entry.next = node.refusals
    node.refusals = entry
    log_limit(node, node.settings[ACLLOG_MOST])


cdef void acl_close(Node* node) noexcept nogil:
    """Free users and log; nothing may use them afterwards."""
    cdef User* following
    log_limit(node, 0)
    while node.users != NULL:
        following = node.users.next
        user_free(node.users)
        node.users = following


# -- words for users ---------------------------------------------------------------------------------------------------


cdef void add_words(Text* text, const Word* words, const char* before) noexcept nogil:
    """Each word behind a blank and `before`; key patterns say what they allow."""
    while words != NULL:
        if text.length and text.data[text.length - 1] != c'(':
            text_add(text, b" ")
        if before[0] == c'~' and words.access != KEY_READ | KEY_WRITE:
            text_add(text, b"%R" if words.access == KEY_READ else b"%W")
        text_add(text, before)
        text_bytes(text, word_text(words), words.length)
        words = words.next


cdef void add_keys(Text* text, const Selector* selector) noexcept nogil:
    if selector.every_key:
        text_add(text, b" ~*" if text.length and text.data[text.length - 1] != c'(' else b"~*")
    else:
        add_words(text, selector.keys, b"~")


cdef void add_commands(Text* text, const Selector* selector) noexcept nogil:
    """The first word says what holds for commands that no other word names."""
    if text.length and text.data[text.length - 1] != c'(':
        text_add(text, b" ")
    text_add(text, b"+@all" if selector.commands[(sizeof(selector.commands) // 8) - 1] >> 63 else b"-@all")
    add_words(text, selector.rules, b"")


cdef void add_selector(Text* text, const Selector* selector) noexcept nogil:
    add_keys(text, selector)
    if text.length and text.data[text.length - 1] != c'(':
        text_add(text, b" ")
    if selector.every_channel:
        text_add(text, b"&*")
    else:
        text_add(text, b"resetchannels")
        add_words(text, selector.channels, b"&")
    add_commands(text, selector)


cdef void acl_describe(Text* text, const User* user) noexcept nogil:
    """The user as a line of an ACL file, without its end."""
    cdef const Selector* selector = user.own.next
    text_add(text, b"user ")
    text_bytes(text, word_text(user.name), user.name.length)
    text_add(text, b" on" if user.on else b" off")
    if user.nopass:
        text_add(text, b" nopass")
    if user.sanitize or user.skip_sanitize:
        text_add(text, b" sanitize-payload" if user.sanitize else b" skip-sanitize-payload")
    add_words(text, user.passwords, b"#")
    add_selector(text, &user.own)
    while selector != NULL:
        text_add(text, b" (")
        add_selector(text, selector)
        text_add(text, b")")
        selector = selector.next


# -- handlers ----------------------------------------------------------------------------------------------------------


cdef void command_acl_whoami(Call* call) noexcept nogil:
    answer_bulk(call, word_text(call.client.user.name), call.client.user.name.length)


cdef long long count_users(const Node* node) noexcept nogil:
    cdef const User* user = node.users
    cdef long long count = 0
    while user != NULL:
        count += 1
        user = user.next
    return count


cdef void command_acl_users(Call* call) noexcept nogil:
    cdef const User* user = call.node.users
    answer_array(call, count_users(call.node))
    while user != NULL:
        answer_bulk(call, word_text(user.name), user.name.length)
        user = user.next


cdef void command_acl_list(Call* call) noexcept nogil:
    cdef const User* user = call.node.users
    cdef Text text = Text(data=NULL, length=0, room=0)
    answer_array(call, count_users(call.node))
    while user != NULL:
        text.length = 0
        acl_describe(&text, user)
        answer_bulk(call, text.data, text.length)
        user = user.next
    text_free(&text)


cdef void answer_selector(Call* call, const Selector* selector) noexcept nogil:
    """Three pairs: commands, keys, channels."""
    cdef Text text = Text(data=NULL, length=0, room=0)
    answer_text(call, b"commands")
    add_commands(&text, selector)
    answer_bulk(call, text.data, text.length)
    answer_text(call, b"keys")
    text.length = 0
    add_keys(&text, selector)
    answer_bulk(call, text.data, text.length)
    answer_text(call, b"channels")
    text.length = 0
    if selector.every_channel:
        text_add(&text, b"&*")
    else:
        add_words(&text, selector.channels, b"&")
    answer_bulk(call, text.data, text.length)
    text_free(&text)


cdef void command_acl_getuser(Call* call) noexcept nogil:
    cdef const User* user = user_find(call.node, &call.argv[2])
    cdef const Selector* selector
    cdef const Word* word
    cdef long long count = 0
    if user == NULL:
        answer_nil(call)
        return
    answer_map(call, 6)
    answer_text(call, b"flags")
    answer_set(call, 1 + user.nopass + user.sanitize + user.skip_sanitize)
    answer_text(call, b"on" if user.on else b"off")
    if user.nopass:
        answer_text(call, b"nopass")
    if user.sanitize or user.skip_sanitize:
        answer_text(call, b"sanitize-payload" if user.sanitize else b"skip-sanitize-payload")
    answer_text(call, b"passwords")
    word = user.passwords
    while word != NULL:
        count += 1
        word = word.next
    answer_array(call, count)
    word = user.passwords
    while word != NULL:
        answer_bulk(call, word_text(word), word.length)
        word = word.next
    answer_selector(call, &user.own)
    answer_text(call, b"selectors")
    count = 0
    selector = user.own.next
    while selector != NULL:
        count += 1
        selector = selector.next
    answer_array(call, count)
    selector = user.own.next
    while selector != NULL:
        answer_map(call, 3)
        answer_selector(call, selector)
        selector = selector.next


cdef inline bint closes(const Slice* argument) noexcept nogil:
    return argument.length and argument.data[argument.length - 1] == c')'


cdef inline bint opens(const Slice* argument) noexcept nogil:
    """Does a selector begin here whose end is another argument's?"""
    return argument.length and argument.data[0] == c'(' and not closes(argument)


cdef bint join_rules(const Slice* argv, int argc, int* at, int* start, Text* text, Slice* rule) noexcept nogil:
    """The next rule, a selector in parentheses being one even if it came as several arguments; `start`: the first of
    them. A second opening parenthesis begins it anew, as in Redis. False: it has no end."""
    start[0] = at[0]
    rule[0] = argv[at[0]]
    at[0] += 1
    if not opens(rule):
        return True
    text.length = 0
    text_bytes(text, rule.data, rule.length)
    while at[0] < argc:
        if opens(&argv[at[0]]):
            start[0] = at[0]
            text.length = 0
        else:
            text_add(text, b" ")
        text_bytes(text, argv[at[0]].data, argv[at[0]].length)
        at[0] += 1
        if closes(&argv[at[0] - 1]):
            rule.data = text.data
            rule.length = text.length
            return True
    return False


cdef bint acl_rules(Node* node, User* user, const Slice* argv, int argc, const char* where,
                      char* problem) noexcept nogil:
    """Apply the rules in turn. False: one is wrong, and `problem` (ERROR_ROOM bytes) says which and why."""
    cdef Text text = Text(data=NULL, length=0, room=0)
    cdef Slice rule
    cdef char shown[160]
    cdef const char* wrong = NULL
    cdef int start = 0
    cdef int at = 0
    # As Redis does: every selector is put together before the first rule is looked at.
    while at < argc:
        if not join_rules(argv, argc, &at, &start, &text, &rule):
            copy_text(shown, sizeof(shown), &argv[start])
            snprintf(problem, ERROR_ROOM, b"Unmatched parenthesis in acl selector starting at '%s'.", shown)
            text_free(&text)
            return False
    at = 0
    while at < argc and wrong == NULL:
        join_rules(argv, argc, &at, &start, &text, &rule)
        wrong = user_rule(node, user, &rule)
        if wrong != NULL:
            copy_text(shown, sizeof(shown), &rule)
            snprintf(problem, ERROR_ROOM, b"Error in %s modifier '%s': %s", where, shown, wrong)
    text_free(&text)
    return wrong == NULL


cdef void command_acl_setuser(Call* call) noexcept nogil:
    """All of the rules or none: they are tried on a copy."""
    cdef Node* node = call.node
    cdef const Slice* name = &call.argv[2]
    cdef User* user
    cdef User* draft
    cdef char problem[ERROR_ROOM]
    cdef char text[ERROR_ROOM + 8]
    if memchr(name.data, c' ', name.length) != NULL or memchr(name.data, 0, name.length) != NULL:
        answer_error(call, b"ERR Usernames can't contain spaces or null characters")
        return
    user = user_find(node, name)
    draft = user_copy(user) if user != NULL else user_make(node, name)
    if not acl_rules(node, draft, call.argv + 3, call.argc - 3, b"ACL SETUSER", problem):
        user_free(draft)
        snprintf(text, sizeof(text), b"ERR %s", problem)
        answer_error(call, text)
        return
    if user != NULL:
        user_take(node, user, draft)
    else:
        user_add(node, draft)
    answer_ok(call)


cdef void command_acl_deluser(Call* call) noexcept nogil:
    cdef User* user
    cdef long long removed = 0
    cdef int index
    for index in range(2, call.argc):
        if call.argv[index].length == 7 and word_is(call.node.user_default.name, &call.argv[index]):
            answer_error(call, b"ERR The 'default' user cannot be removed")
            return
    for index in range(2, call.argc):
        user = user_find(call.node, &call.argv[index])
        if user != NULL:
            user_remove(call.node, user)
            removed += 1
    answer_number(call, removed)


cdef void command_acl_cat(Call* call) noexcept nogil:
    cdef Node* node = call.node
    cdef char shown[96]
    cdef char text[160]
    cdef long long count = 0
    cdef int category, index
    if call.argc == 2:
        answer_array(call, CATEGORIES)
        for index in range(CATEGORIES):
            answer_text(call, category_name(index))
        return
    if call.argc > 3:
        answer_try_help(call)
        return
    category = category_find(call.argv[2].data, call.argv[2].length)
    if category < 0:
        copy_text(shown, sizeof(shown), &call.argv[2])
        snprintf(text, sizeof(text), b"ERR Unknown category '%s'", shown)
        answer_error(call, text)
        return
    for index in range(node.row_count):
        count += node.rows[index].categories >> category & 1
    answer_array(call, count)
    for index in range(node.row_count):
        if node.rows[index].categories >> category & 1:
            answer_text(call, node.rows[index].name)


cdef void command_acl_genpass(Call* call) noexcept nogil:
    cdef const char* hexadecimal = b"0123456789abcdef"
    cdef unsigned char bytes[512]      # PASSWORD_BITS_MOST
    cdef char digits[1024]
    cdef long long bits = PASSWORD_BITS
    cdef int count, index
    if call.argc > 3:
        answer_try_help(call)
        return
    if call.argc == 3:
        if not take_integer(call, &call.argv[2], &bits):
            return
        if bits <= 0 or bits > PASSWORD_BITS_MOST:
            answer_error(call, b"ERR ACL GENPASS argument must be the number of bits for the output password, a "
                               b"positive number up to 4096")
            return
    count = <int> (bits + 3) // 4
    for index in range(0, (count + 1) // 2, 256):
        getentropy(bytes + index, 256 if (count + 1) // 2 - index > 256 else (count + 1) // 2 - index)
    for index in range(count):
        digits[index] = hexadecimal[bytes[index // 2] >> (4 if index % 2 == 0 else 0) & 15]
    answer_bulk(call, digits, count)


cdef void command_acl_dryrun(Call* call) noexcept nogil:
    cdef char shown[96]
    cdef char text[256]
    cdef const User* user = user_find(call.node, &call.argv[2])
    cdef Row* row
    cdef int reason
    cdef int at = 0
    if user == NULL:
        copy_text(shown, sizeof(shown), &call.argv[2])
        snprintf(text, sizeof(text), b"ERR User '%s' not found", shown)
        answer_error(call, text)
        return
    row = command_find(call.node, &call.argv[3])
    if row != NULL and row.flags & CONTAINER and call.argc > 4:
        row = command_find_under(call.node, row, &call.argv[4])
    if row == NULL:
        copy_text(shown, sizeof(shown), &call.argv[3])
        snprintf(text, sizeof(text), b"ERR Command '%s' not found", shown)
        answer_error(call, text)
        return
    if (row.arity > 0 and call.argc - 3 != row.arity) or call.argc - 3 < -row.arity:
        snprintf(text, sizeof(text), b"ERR wrong number of arguments for '%s' command", row.name)
        answer_error(call, text)
        return
    reason = user_may(user, row, <int> (row - call.node.rows), call.argv + 3, call.argc - 3, &at)
    if reason == ALLOWED:
        answer_ok(call)
        return
    if reason == NO_COMMAND:
        snprintf(text, sizeof(text), b"This user has no permissions to run the '%s' command", row.name)
    else:
        copy_text(shown, sizeof(shown), &call.argv[3 + at])
        snprintf(text, sizeof(text), b"This user has no permissions to access the '%s' %s", shown,
                 <const char*> (b"key" if reason == NO_KEY else b"channel"))
    answer_text(call, text)


cdef void command_acl_log(Call* call) noexcept nogil:
    """ACL LOG [count | RESET]."""
    cdef Node* node = call.node
    cdef const Refusal* entry = node.refusals
    cdef const char* reason
    cdef long long count = 10
    if call.argc > 3:
        answer_try_help(call)
        return
    if call.argc == 3 and is_word(&call.argv[2], b"reset"):
        log_limit(node, 0)
        answer_ok(call)
        return
    if call.argc == 3 and not take_integer(call, &call.argv[2], &count):
        return
    count = 0 if count < 0 else node.refusal_count if count > node.refusal_count else count
    answer_array(call, count)
    while count:
        reason = b"command"
        if entry.reason == NO_KEY:
            reason = b"key"
        elif entry.reason == NO_CHANNEL:
            reason = b"channel"
        elif entry.reason == NO_USER:
            reason = b"auth"
        answer_map(call, 10)
        answer_text(call, b"count")
        answer_number(call, <long long> entry.count)
        answer_text(call, b"reason")
        answer_text(call, reason)
        answer_text(call, b"context")
        answer_text(call, b"multi" if entry.in_multi else b"toplevel")
        answer_text(call, b"object")
        answer_bulk(call, word_text(entry.object), entry.object.length)
        answer_text(call, b"username")
        answer_bulk(call, word_text(entry.username), entry.username.length)
        answer_text(call, b"age-seconds")
        answer_double(call, <double> (node.now_ms - entry.updated_ms) / 1000)
        answer_text(call, b"client-info")
        answer_bulk(call, word_text(entry.client), entry.client.length)
        answer_text(call, b"entry-id")
        answer_number(call, <long long> entry.id)
        answer_text(call, b"timestamp-created")
        answer_number(call, entry.created_ms)
        answer_text(call, b"timestamp-last-updated")
        answer_number(call, entry.updated_ms)
        entry = entry.next
        count -= 1
