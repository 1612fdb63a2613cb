# cython: language_level=3, boundscheck=False, wraparound=False, cdivision=True, initializedcheck=False
"""Rights: passwords, and the check of one request against the selectors of its client's user. See rights.pxd.

The naive twin is proxy/control/answers/rights.py, and redis-server is the judge of both. A request is held to what
the command table says of it, as Redis does; where Redis judges as it executes (the keys that SORT reads by pattern,
what a script does), the proxy has to judge before, because the node knows its user as the proxy's own.

A check costs one pass over the key patterns for each key: 50 to 100 ns for a GET. What is refused is also an event,
for ACL LOG: at most DENIALS a second, the rest is dropped without a word.
"""

from libc.stdint cimport uint8_t, uint32_t
from libc.string cimport memcmp, memset, strlen

from proxy.engine.describe cimport client_describe
from proxy.engine.keys cimport keys_find, option_after
from proxy.engine.lookup cimport same_word
from proxy.engine.mail cimport event_post
from proxy.engine.refusals cimport refuse
from proxy.wire.sha256 cimport sha256
from proxy.engine.types cimport (
    CHANNELS_NONE, CHANNELS_ONE, CHANNELS_PATTERNS, CLIENT_RESTRICTED, CLIENT_TRUSTED, ERROR_NOPERM_CHANNEL,
    ERROR_NOPERM_COMMAND, ERROR_NOPERM_KEY, ERROR_NOPERM_SCRIPT, ERROR_NOPERM_SORT_BY, ERROR_NOPERM_SORT_GET,
    EVENT_DENIED, ROW_BEFORE_AUTH, ROW_KEYLESS, ROW_PUBLISH, ROW_SCRIPT, USE_READ, USE_WRITE, VARIES_BITFIELD,
    VARIES_NOT, VARIES_SET, VARIES_SORT, Client, Core, KeyRef, Pattern, Pool, Row, Selector, User,
)
from proxy.wire.glob cimport glob_match
from proxy.wire.output cimport Output, output_append, output_clear
from proxy.wire.resp cimport Frame, args_begin, args_next

cdef enum:
    DIGEST = 32                # bytes of SHA-256
    LONGEST_PASSWORD = 16384   # bytes that are hashed, what an argument may have before AUTH; longer ones are wrong
    DENIALS = 100              # events of one engine in a second
    SHOWN = 256                # bytes of a name or object in an event


# -- who the client is --------------------------------------------------------------------------------------------

cdef void become(Client* client, User* user, bint trusted) noexcept nogil:
    client.user = user
    client.flags &= ~(<uint32_t> (CLIENT_TRUSTED | CLIENT_RESTRICTED))
    if trusted:
        client.flags |= CLIENT_TRUSTED
    if user.restricted:
        client.flags |= CLIENT_RESTRICTED


cdef void user_default(Client* client) noexcept nogil:
    """A client that has just come, or sent RESET: the default user, trusted if that needs no password."""
    cdef User* user = client.pool.default_user
    become(client, user, user.enabled and user.any_password)


cdef bint user_authenticate(Core* core, Client* client, const Frame* frame, const char* name, size_t name_length,
                            const char* password, size_t length) noexcept nogil:
    """Make the client this user if the password is right; if not it stays who it is. Compares with every password of
    the user in a time that depends on their number alone."""
    cdef Pool* pool = client.pool
    cdef User* user = NULL
    cdef uint8_t digest[DIGEST]
    cdef uint8_t different
    cdef bint right = False
    cdef uint32_t index, at
    for index in range(pool.user_count):
        if pool.users[index].name_length == name_length and memcmp(pool.users[index].name, name, name_length) == 0:
            user = &pool.users[index]
    if user != NULL and user.enabled and user.any_password:
        right = True
    elif user != NULL and user.enabled and length <= LONGEST_PASSWORD:
        sha256(<const unsigned char*> password, length, digest)
        for index in range(user.hash_count):
            different = 0
            for at in range(DIGEST):
                different |= digest[at] ^ user.hashes[index * DIGEST + at]
            right |= different == 0
    if right:
        become(client, user, True)
    else:
        tell(core, client, DENIED_AUTH, name, name_length, frame.data + frame.args[0].offset, frame.args[0].length)
    return right


# -- one selector -------------------------------------------------------------------------------------------------

cdef bint opens(const Pattern* patterns, uint32_t count, const char* text, size_t length, int use,
                bint literally) noexcept nogil:
    """Does one of the patterns match, and allow this use? `literally`: is one of them this very text?"""
    cdef uint32_t index
    for index in range(count):
        if use & ~(<int> patterns[index].use):
            continue
        if literally:
            if patterns[index].length == length and memcmp(patterns[index].text, text, length) == 0:
                return True
        elif length == 0:          # where rights are concerned, Redis has no star for the empty key
            if patterns[index].length == 0:
                return True
        elif glob_match(patterns[index].text, patterns[index].length, text, length, False):
            return True
    return False


cdef bint command_open(const Selector* selector, const Row* row, const Frame* frame) noexcept nogil:
    cdef uint32_t index
    if selector.commands[row.index >> 6] >> (row.index & 63) & 1 or row.flags & ROW_BEFORE_AUTH:
        return True
    for index in range(selector.first_count if frame.argc > 1 else 0):
        if selector.first[index].row == row.index and same_word(
                frame.data + frame.args[1].offset, frame.args[1].length, selector.first[index].word):
            return True
    return False


cdef int judge(const User* user, const Selector* selector, const Row* row, const Frame* frame, const KeyRef* keys,
               int key_count, int use, uint32_t* place) noexcept nogil:
    """Does this selector permit the request? A Denial; `place` is then the argument in question, else left alone."""
    cdef const char* at
    cdef const char* text
    cdef size_t length
    cdef int index
    cdef uint32_t argument
    place[0] = 0
    if not command_open(selector, row, frame):
        return DENIED_COMMAND
    if not selector.all_keys and row.spec_count and not row.flags & ROW_PUBLISH:
        if key_count < 0 or (key_count == 0 and not row.flags & ROW_KEYLESS):
            # Nobody can say which keys these are; the node would say that the request is wrong.
            return DENIED_KEY
        for index in range(key_count):
            if not opens(selector.keys, selector.key_count, keys[index].data, keys[index].length,
                         use if use >= 0 else row.specs[keys[index].node].use, False):
                place[0] = keys[index].argument
                return DENIED_KEY
    if not selector.all_channels and row.channels != CHANNELS_NONE:
        at = args_begin(frame)
        for argument in range(2 if row.channels == CHANNELS_ONE else frame.argc):
            at = args_next(at, &text, &length)
            if argument and not opens(selector.channels, selector.channel_count, text, length, 0,
                                      row.channels == CHANNELS_PATTERNS):
                place[0] = argument
                return DENIED_CHANNEL
    if row.flags & ROW_SCRIPT and not user.scripts:
        return DENIED_SCRIPT
    return DENIED_NOT


cdef bint reads_everything(const Selector* selector) noexcept nogil:
    cdef uint32_t index
    if selector.all_keys:
        return True
    for index in range(selector.key_count):
        if (selector.keys[index].use & USE_READ and selector.keys[index].length == 1
                and selector.keys[index].text[0] == c'*'):
            return True
    return False


# -- what options say ---------------------------------------------------------------------------------------------

cdef bint is_word(const KeyRef* args, int at, const char* word) noexcept nogil:
    return same_word(args[at].data, args[at].length, word)


cdef int use_of(const Row* row, const KeyRef* args, int argc) noexcept nogil:
    """KeyUse of a row whose specs do not tell; -1 where they do."""
    cdef int at
    if row.varies == VARIES_SET:
        for at in range(3, argc):
            if is_word(args, at, b"get"):
                return USE_READ | USE_WRITE
        return USE_WRITE
    if row.varies != VARIES_BITFIELD:
        return -1
    at = 2
    while at < argc:
        if argc - at > 2 and is_word(args, at, b"get"):
            at += 3
        elif argc - at > 1 and is_word(args, at, b"overflow"):
            at += 2
        else:
            return USE_READ | USE_WRITE
    return USE_READ


cdef int foreign_keys(const Row* row, const KeyRef* args, int argc) noexcept nogil:
    """The error of a SORT that reads keys which it does not name, for its first option that does; 0: it has none."""
    cdef int at = 2
    cdef size_t index
    while at + 1 < argc:
        if is_word(args, at, b"get"):
            return ERROR_NOPERM_SORT_GET
        if is_word(args, at, b"by"):
            for index in range(args[at + 1].length):
                if args[at + 1].data[index] == c'*':
                    return ERROR_NOPERM_SORT_BY
        at = option_after(row, args, at, argc)
    return 0


# -- one request --------------------------------------------------------------------------------------------------

cdef bint permitted(Core* core, Client* client, Row* row, const Frame* frame) noexcept nogil:
    """May the client's user run this request, whose arity is right? If not it is answered here, in the client's
    order, and an event is posted."""
    cdef const User* user = client.user
    cdef int argc = <int> frame.argc
    cdef int denial, key_count = 0, use = -1
    cdef int worst = DENIED_COMMAND
    cdef uint32_t index, place, worst_place = 0
    cdef int reading = 0
    cdef const KeyRef* args
    if row.spec_count:
        key_count = keys_find(core, row, frame)
        if row.varies != VARIES_NOT:
            args = core.args       # where keys_find left all arguments
            use = use_of(row, args, argc)
            if row.varies == VARIES_SORT:
                reading = foreign_keys(row, args, argc)
    for index in range(user.selector_count):
        denial = judge(user, &user.selectors[index], row, frame, core.keys, key_count, use, &place)
        if denial == DENIED_NOT:
            if reading == 0 or reads_everything(&user.selectors[index]):
                return True
            worst = DENIED_NOT
        elif worst != DENIED_NOT and (denial > worst or (denial == worst and place > worst_place)):
            worst = denial
            worst_place = place
    deny(core, client, row, frame, worst, worst_place, reading)
    return False


cdef void deny(Core* core, Client* client, Row* row, const Frame* frame, int denial, uint32_t place,
               int reading) noexcept nogil:
    """Answer, and tell the control plane; DENIED_NOT: for `reading`, the error of a SORT that reads foreign keys."""
    cdef const char* at = args_begin(frame)
    cdef const char* text = NULL
    cdef size_t length = 0
    cdef uint32_t index
    if denial == DENIED_NOT:
        refuse(core, client, row, reading, NULL, NULL)
        return
    refuse(core, client, row, ERROR_NOPERM_KEY if denial == DENIED_KEY
           else ERROR_NOPERM_CHANNEL if denial == DENIED_CHANNEL
           else ERROR_NOPERM_SCRIPT if denial == DENIED_SCRIPT else ERROR_NOPERM_COMMAND, NULL, NULL)
    if denial == DENIED_KEY or denial == DENIED_CHANNEL:
        for index in range(place + 1):
            at = args_next(at, &text, &length)
    else:
        text = row.full_name
        length = strlen(text)
    tell(core, client, denial, client.user.name, client.user.name_length, text, length)


cdef void tell(Core* core, Client* client, int denial, const char* name, size_t name_length, const char* text,
               size_t length) noexcept nogil:
    """Post a refusal, with the client as it is now: it may be gone when somebody reads of it. Both texts are cut."""
    cdef Output data
    if core.now_us - core.denied_us >= 1000000:
        core.denied_us = core.now_us
        core.denied = 0
    core.denied += 1
    if core.denied > DENIALS:
        return
    name_length = name_length if name_length < SHOWN else SHOWN
    length = length if length < SHOWN else SHOWN
    memset(&data, 0, sizeof(data))
    output_append(&data, &core.chunks, name, name_length)
    output_append(&data, &core.chunks, text, length)
    client_describe(core, client, &data)
    # Below CHUNK_SIZE by construction, so it is in one piece.
    event_post(core, EVENT_DENIED, client.pool.index, <int> length, denial, NULL, <uint32_t> name_length,
               client.transaction != NULL,
               data.first.data + data.first.head, data.length)
    output_clear(&data, &core.chunks)
