# cython: language_level=3, boundscheck=False, wraparound=False, cdivision=True, initializedcheck=False
"""Users: their list, their rules, their rights. See users.pxd."""

from libc.stdint cimport uint64_t
from libc.stdlib cimport free
from libc.string cimport memcmp, memset, strchr, strlen

from proxy.wire.glob cimport glob_match
from proxy.wire.sha256 cimport sha256
from storenode.arguments cimport is_word
from storenode.catalog cimport KeyWalk, category_find, keys_begin, keys_next
from storenode.names cimport command_find_under, command_named
from storenode.connection cimport client_close
from storenode.types cimport (
    CONTAINER, KEY_READ, KEY_WRITE, NO_AUTH, Client, Node, Row, Selector, Slice, User, Word,
)
from storenode.words cimport (
    word_is, word_new, word_text, words_append, words_copy, words_drop, words_free, zeroed,
)

cdef enum:
    HASH_DIGITS = 64

cdef const char* SYNTAX = b"Syntax error"
cdef const char* UNKNOWN = b"Unknown command or category name in ACL"


# -- selectors and users -----------------------------------------------------------------------------------------------


cdef void selector_clear(Selector* selector) noexcept nogil:
    """Free what it holds; the selectors behind it stay."""
    words_free(selector.rules)
    words_free(selector.keys)
    words_free(selector.channels)


cdef void selectors_free(Selector* selector) noexcept nogil:
    cdef Selector* following
    while selector != NULL:
        following = selector.next
        selector_clear(selector)
        free(selector)
        selector = following


cdef void selector_copy(Selector* target, const Selector* source) noexcept nogil:
    target[0] = source[0]
    target.next = NULL
    target.rules = words_copy(source.rules)
    target.keys = words_copy(source.keys)
    target.channels = words_copy(source.channels)


cdef User* user_make(Node* node, const Slice* name) noexcept nogil:
    """A user as Redis makes one: off, without a password and without any right. In no list yet."""
    cdef User* user = <User*> zeroed(sizeof(User))
    user.name = word_new(name.data, name.length)
    return user


cdef User* user_copy(const User* user) noexcept nogil:
    cdef User* copy = <User*> zeroed(sizeof(User))
    cdef const Selector* source = user.own.next
    cdef Selector** end = &copy.own.next
    copy.name = word_new(word_text(user.name), user.name.length)
    copy.on = user.on
    copy.nopass = user.nopass
    copy.sanitize = user.sanitize
    copy.skip_sanitize = user.skip_sanitize
    copy.passwords = words_copy(user.passwords)
    selector_copy(&copy.own, &user.own)
    while source != NULL:
        end[0] = <Selector*> zeroed(sizeof(Selector))
        selector_copy(end[0], source)
        end = &end[0].next
        source = source.next
    return copy


cdef void user_clear(User* user) noexcept nogil:
    words_free(user.passwords)
    selectors_free(user.own.next)
    selector_clear(&user.own)


cdef void user_free(User* user) noexcept nogil:
    user_clear(user)
    free(user.name)
    free(user)


cdef void user_take(Node* node, User* user, User* source) noexcept nogil:
    """`user` becomes what `source` is, which ends; its clients feel it at once."""
    cdef Client* client = node.clients
    user_clear(user)
    user.on = source.on
    user.nopass = source.nopass
    user.sanitize = source.sanitize
    user.skip_sanitize = source.skip_sanitize
    user.passwords = source.passwords
    user.own = source.own
    free(source.name)
    free(source)
    user.all = user.own.every_command and user.own.every_key and user.own.every_channel
    while client != NULL:
        if client.user == user:
            client.trusted = client.authenticated and user.all
        client = client.next


cdef void user_add(Node* node, User* user) noexcept nogil:
    """Put a user into the list, which is in the order of the names."""
    cdef User** place = &node.users
    cdef size_t least
    cdef int order
    while place[0] != NULL:
        least = place[0].name.length if place[0].name.length < user.name.length else user.name.length
        order = memcmp(word_text(place[0].name), word_text(user.name), least)
        if order > 0 or (order == 0 and place[0].name.length > user.name.length):
            break
        place = &place[0].next
    user.next = place[0]
    place[0] = user
    user.all = user.own.every_command and user.own.every_key and user.own.every_channel


cdef void user_remove(Node* node, User* user) noexcept nogil:
    """End a user and its connections."""
    cdef User** place = &node.users
    cdef Client* client = node.clients
    cdef Client* following
    while client != NULL:
        following = client.next
        if client.user == user:
            client_as(node, client, node.user_default)
            client.authenticated = False
            client.trusted = False
            if client == node.call.client:
                client.closing = True
            else:
                client_close(node, client)
        client = following
    while place[0] != user:
        place = &place[0].next
    place[0] = user.next
    user_free(user)


cdef User* user_find(Node* node, const Slice* name) noexcept nogil:
    """NULL: there is none."""
    cdef User* user = node.users
    while user != NULL and not word_is(user.name, name):
        user = user.next
    return user


cdef void users_open(Node* node) noexcept nogil:
    """The default user: it may do everything and needs no password."""
    cdef Slice name = Slice(data=b"default", length=7)
    cdef const char** rules = [b"on", b"nopass", b"allkeys", b"allchannels", b"allcommands"]
    cdef Slice rule
    cdef int index
    node.user_default = user_make(node, &name)
    for index in range(5):
        rule.data = rules[index]
        rule.length = strlen(rules[index])
        user_rule(node, node.user_default, &rule)
    user_add(node, node.user_default)


# -- passwords ---------------------------------------------------------------------------------------------------------


cdef void write_hash(const char* data, size_t length, char* digits) noexcept nogil:
    cdef const char* hexadecimal = b"0123456789abcdef"
    cdef unsigned char digest[32]
    cdef int index
    sha256(<const unsigned char*> data, length, digest)
    for index in range(32):
        digits[2 * index] = hexadecimal[digest[index] >> 4]
        digits[2 * index + 1] = hexadecimal[digest[index] & 15]


cdef bint user_knows(const User* user, const Slice* password) noexcept nogil:
    """Is it a password of the user? Each one is compared to its end, so that the time taken tells nothing."""
    cdef char digits[HASH_DIGITS]
    cdef const Word* known = user.passwords
    cdef const char* text
    cdef bint found = user.nopass
    cdef int index, difference
    write_hash(password.data, password.length, digits)
    while known != NULL:
        text = word_text(known)
        difference = 0
        for index in range(HASH_DIGITS):
            difference |= text[index] ^ digits[index]
        found = found or difference == 0
        known = known.next
    return found


cdef const char* password_rule(User* user, char sign, const char* data, size_t length) noexcept nogil:
    """`>password`, `<password`, `#hash` and `!hash`."""
    cdef char digits[HASH_DIGITS]
    cdef Slice text
    cdef Word** place
    cdef Word* found
    cdef size_t index
    if sign == c'>' or sign == c'<':
        write_hash(data, length, digits)
        data = digits
    elif length != HASH_DIGITS:
        return b"The password hash must be exactly 64 characters and contain only lowercase hexadecimal characters"
    else:
        for index in range(length):
            if not c'0' <= data[index] <= c'9' and not c'a' <= data[index] <= c'f':
                return (b"The password hash must be exactly 64 characters and contain only lowercase hexadecimal "
                        b"characters")
    text.data = data
    text.length = HASH_DIGITS
    place = &user.passwords
    while place[0] != NULL and not word_is(place[0], &text):
        place = &place[0].next
    if sign == c'>' or sign == c'#':
        user.nopass = False
        if place[0] == NULL:
            place[0] = word_new(data, HASH_DIGITS)
        return NULL
    if place[0] == NULL:
        return b"The password you are trying to remove from the user does not exist"
    found = place[0]
    place[0] = found.next
    free(found)
    return NULL


cdef void user_password(Node* node, const Slice* password) noexcept nogil:
    """requirepass: the default user's only password; empty: it needs none."""
    cdef User* user = node.user_default
    words_free(user.passwords)
    user.passwords = NULL
    user.nopass = password.length == 0
    if password.length:
        password_rule(user, c'>', password.data, password.length)


# -- rules -------------------------------------------------------------------------------------------------------------


cdef void allow_row(Node* node, Selector* selector, const Row* row, bint allow) noexcept nogil:
    """Set the bit of a row and, of a container, those of its subcommands."""
    cdef int number = <int> (row - node.rows)
    while True:
        if allow:
            selector.commands[number >> 6] |= <uint64_t> 1 << (number & 63)
        else:
            selector.commands[number >> 6] &= ~(<uint64_t> 1 << (number & 63))
        number += 1
        if not row.flags & CONTAINER or number >= node.row_count or node.rows[number].parent < 0:
            break


cdef void note_rule(Selector* selector, const char* sign, const char* name, size_t length) noexcept nogil:
    """Keep the rule's words in lower case, in place of what said something of the same before."""
    cdef Word* word = word_new(sign, length + 1)
    cdef size_t index
    for index in range(length):
        word_text(word)[index + 1] = name[index] + 32 if c'A' <= name[index] <= c'Z' else name[index]
    words_drop(&selector.rules, word_text(word) + 1, length, True)
    words_append(&selector.rules, word)


cdef const char* command_rule(Node* node, Selector* selector, const Slice* rule) noexcept nogil:
    """`+name`, `-name`, `+container|subcommand`, `+@category` and their kin."""
    cdef bint allow = rule.data[0] == c'+'
    cdef Slice name, under
    cdef const char* bar
    cdef Row* row
    cdef int category, index
    name.data = rule.data + 1
    name.length = rule.length - 1
    if name.length and name.data[0] == c'@':
        if is_word(&name, b"@all"):
            every_command(selector, allow)
            return NULL
        category = category_find(name.data + 1, name.length - 1)
        if category < 0:
            return UNKNOWN
        note_rule(selector, rule.data, name.data, name.length)
        for index in range(node.row_count):
            if node.rows[index].categories >> category & 1:
                allow_one(selector, index, allow)
        if not allow:
            selector.every_command = False
        return NULL
    under.data = NULL
    under.length = 0
    for index in range(<int> name.length):
        if name.data[index] == c'|':
            under.data = name.data + index + 1
            under.length = name.length - index - 1
            name.length = index
            break
    row = command_named(node, &name)
    if row == NULL:
        return UNKNOWN
    if under.data != NULL:
        for index in range(<int> under.length):
            if under.data[index] == c'|' and row.flags & CONTAINER:
                return b"Allowing first-arg of a subcommand is not supported"
        row = command_find_under(node, row, &under) if row.flags & CONTAINER else NULL
        if row == NULL:
            return UNKNOWN
    note_rule(selector, rule.data, rule.data + 1, rule.length - 1)
    allow_row(node, selector, row, allow)
    if not allow:
        selector.every_command = False
    return NULL


cdef inline void allow_one(Selector* selector, int number, bint allow) noexcept nogil:
    if allow:
        selector.commands[number >> 6] |= <uint64_t> 1 << (number & 63)
    else:
        selector.commands[number >> 6] &= ~(<uint64_t> 1 << (number & 63))


cdef void every_command(Selector* selector, bint allow) noexcept nogil:
    memset(selector.commands, 0xFF if allow else 0, sizeof(selector.commands))
    selector.every_command = allow
    words_free(selector.rules)
    selector.rules = NULL


cdef const char* key_rule(Selector* selector, const Slice* rule) noexcept nogil:
    """`~pattern`, `%R~pattern`, `%W~pattern`, `%RW~pattern`."""
    cdef int access = KEY_READ | KEY_WRITE
    cdef size_t at = 1
    cdef Slice pattern
    cdef Word* word
    if selector.every_key:
        return (b"Adding a pattern after the * pattern (or the 'allkeys' flag) is not valid and does not have any "
                b"effect. Try 'resetkeys' to start with an empty list of patterns")
    if rule.data[0] == c'%':
        access = 0
        while at < rule.length and rule.data[at] != c'~':
            if (rule.data[at] | 32) == c'r' and not access & KEY_READ:
                access |= KEY_READ
            elif (rule.data[at] | 32) == c'w' and not access & KEY_WRITE:
                access |= KEY_WRITE
            else:
                return SYNTAX
            at += 1
        if at >= rule.length or access == 0:
            return SYNTAX
        at += 1
    pattern.data = rule.data + at
    pattern.length = rule.length - at
    if not is_clean(&pattern):
        return SYNTAX
    word = selector.keys
    while word != NULL and not word_is(word, &pattern):
        word = word.next
    if word != NULL:
        word.access |= access
    else:
        word = word_new(pattern.data, pattern.length)
        word.access = access
        words_append(&selector.keys, word)
    return NULL


cdef bint is_clean(const Slice* text) noexcept nogil:
    """No blank and no NUL, which could not be read back."""
    cdef size_t index
    for index in range(text.length):
        if text.data[index] == 0 or strchr(b" \t\n\v\f\r", text.data[index]) != NULL:
            return False
    return True


cdef const char* channel_rule(Selector* selector, const Slice* rule) noexcept nogil:
    cdef Slice pattern = Slice(data=rule.data + 1, length=rule.length - 1)
    cdef Word* word
    if selector.every_channel:
        return (b"Adding a pattern after the * pattern (or the 'allchannels' flag) is not valid and does not have any "
                b"effect. Try 'resetchannels' to start with an empty list of channels")
    if not is_clean(&pattern):
        return SYNTAX
    word = selector.channels
    while word != NULL and not word_is(word, &pattern):
        word = word.next
    if word == NULL:
        words_append(&selector.channels, word_new(pattern.data, pattern.length))
    return NULL


cdef const char* selector_rule(Node* node, Selector* selector, const Slice* rule) noexcept nogil:
    """One rule on commands, keys or channels. NULL: good; otherwise what is wrong with it."""
    cdef char sign = rule.data[0] if rule.length else 0
    if is_word(rule, b"allkeys") or (rule.length == 2 and sign == c'~' and rule.data[1] == c'*'):
        words_free(selector.keys)
        selector.keys = NULL
        selector.every_key = True
    elif is_word(rule, b"resetkeys"):
        words_free(selector.keys)
        selector.keys = NULL
        selector.every_key = False
    elif is_word(rule, b"allchannels") or (rule.length == 2 and sign == c'&' and rule.data[1] == c'*'):
        words_free(selector.channels)
        selector.channels = NULL
        selector.every_channel = True
    elif is_word(rule, b"resetchannels"):
        words_free(selector.channels)
        selector.channels = NULL
        selector.every_channel = False
    elif is_word(rule, b"allcommands") or is_word(rule, b"nocommands"):
        every_command(selector, (rule.data[0] | 32) == c'a')
    elif sign == c'~' or sign == c'%':
        return key_rule(selector, rule)
    elif sign == c'&':
        return channel_rule(selector, rule)
    elif sign == c'+' or sign == c'-':
        return command_rule(node, selector, rule)
    else:
        return SYNTAX
    return NULL


cdef const char* add_selector(Node* node, User* user, const Slice* rule) noexcept nogil:
    """`(rules)`: a selector of its own, closed but for what they open."""
    cdef Selector* selector = <Selector*> zeroed(sizeof(Selector))
    cdef Selector** end = &user.own.next
    cdef Slice part
    cdef const char* problem = NULL
    cdef size_t at = 1
    while at < rule.length - 1 and problem == NULL:
        while at < rule.length - 1 and rule.data[at] == c' ':
            at += 1
        part.data = rule.data + at
        part.length = 0
        while at < rule.length - 1 and rule.data[at] != c' ':
            at += 1
            part.length += 1
        if part.length:
            problem = selector_rule(node, selector, &part)
    if problem != NULL:
        selectors_free(selector)
        return problem
    while end[0] != NULL:
        end = &end[0].next
    end[0] = selector
    return NULL


cdef const char* user_rule(Node* node, User* user, const Slice* rule) noexcept nogil:
    """Apply one rule. NULL: good; otherwise what is wrong with it, and the user may have changed in part."""
    cdef char sign = rule.data[0] if rule.length else 0
    cdef Slice each
    cdef int index
    if rule.length == 0:
        return NULL
    if is_word(rule, b"on") or is_word(rule, b"off"):
        user.on = rule.length == 2
    elif is_word(rule, b"nopass") or is_word(rule, b"resetpass"):
        user.nopass = rule.data[0] | 32 == c'n'
        words_free(user.passwords)
        user.passwords = NULL
    elif is_word(rule, b"sanitize-payload") or is_word(rule, b"skip-sanitize-payload"):
        user.sanitize = rule.data[1] | 32 == c'a'
        user.skip_sanitize = not user.sanitize
    elif sign == c'>' or sign == c'<' or sign == c'#' or sign == c'!':
        return password_rule(user, sign, rule.data + 1, rule.length - 1)
    elif is_word(rule, b"reset"):
        user.on = False
        user.nopass = False
        user.sanitize = True
        user.skip_sanitize = False
        user_clear(user)
        user.passwords = NULL
        memset(&user.own, 0, sizeof(Selector))
    elif is_word(rule, b"clearselectors"):
        selectors_free(user.own.next)
        user.own.next = NULL
    elif sign == c'(' and rule.data[rule.length - 1] == c')':
        return add_selector(node, user, rule)
    else:
        return selector_rule(node, &user.own, rule)
    return NULL


# -- rights ------------------------------------------------------------------------------------------------------------


cdef void client_as(Node* node, Client* client, User* user) noexcept nogil:
    """The client is this user from now on, whether or not it has said a password."""
    client.user = user
    client.trusted = client.authenticated and user.all


cdef bint key_allowed(const Selector* selector, const Slice* key, int access) noexcept nogil:
    cdef const Word* word = selector.keys
    while word != NULL:
        if (word.access & access) == access and glob_match(word_text(word), word.length, key.data, key.length, False):
            return True
        word = word.next
    return False


cdef bint channel_allowed(const Selector* selector, const Slice* channel, bint is_pattern) noexcept nogil:
    """A pattern to subscribe to has to be one that the user was given, to the letter."""
    cdef const Word* word = selector.channels
    while word != NULL:
        if word_is(word, channel) if is_pattern else glob_match(word_text(word), word.length, channel.data,
                                                                channel.length, False):
            return True
        word = word.next
    return False


cdef int selector_may(const Selector* selector, const Row* row, int number, const Slice* argv, int argc,
                      int* at) noexcept nogil:
    cdef KeyWalk walk
    cdef Slice name
    cdef int access = 0
    cdef int last
    if not selector.commands[number >> 6] >> (number & 63) & 1 and not row.flags & NO_AUTH:
        at[0] = 0
        return NO_COMMAND
    if not selector.every_key and row.spec_count:
        keys_begin(&walk, row, argv, argc)
        while keys_next(&walk, at, &access):
            if not key_allowed(selector, &argv[at[0]], access):
                return NO_KEY
    if not selector.every_channel and row.fact != NULL and strlen(row.name) >= 7:
        name.data = row.name
        name.length = strlen(row.name)
        if is_word(&name, b"subscribe") or is_word(&name, b"psubscribe") or is_word(&name, b"ssubscribe"):
            last = argc
        elif is_word(&name, b"publish") or is_word(&name, b"spublish"):
            last = 2
        else:
            return ALLOWED
        for at[0] in range(1, last):
            if not channel_allowed(selector, &argv[at[0]], row.name[0] == c'p' and row.name[1] == c's'):
                return NO_CHANNEL
    return ALLOWED


cdef int user_may(const User* user, const Row* row, int number, const Slice* argv, int argc, int* at) noexcept nogil:
    """May the user run this? `number`: of the row in the command table. at[0]: the argument that is refused.

    One selector has to allow all of it. Of several refusals the one that came furthest is given.
    """
    cdef const Selector* selector = &user.own
    cdef int result = NO_COMMAND
    cdef int found
    cdef int place = 0
    at[0] = 0
    while selector != NULL:
        found = selector_may(selector, row, number, argv, argc, &place)
        if found == ALLOWED:
            return ALLOWED
        if found > result or (found == result and place > at[0]):
            result = found
            at[0] = place
        selector = selector.next
    return result
