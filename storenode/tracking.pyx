# cython: language_level=3, boundscheck=False, wraparound=False, cdivision=True, initializedcheck=False
"""Tracking: the commands by which a client switches the tracking of its reads. See tracking.pxd.

What they switch on is in invalidation.pyx (keys that were read) and broadcast.pyx (prefixes).
"""

from libc.stdint cimport uint64_t
from libc.stdio cimport snprintf
from libc.string cimport memcmp

from storenode.answer cimport (
    answer_array, answer_bulk, answer_error, answer_map, answer_number, answer_ok, answer_set, answer_syntax,
    answer_text,
)
from storenode.arguments cimport copy_text, is_word, take_integer
from storenode.broadcast cimport prefix_add, prefix_name, prefix_overlaps, prefixes_leave
from storenode.connection cimport client_find
from storenode.types cimport (
    TRACK_BCAST, TRACK_BROKEN, TRACK_CACHING, TRACK_NOLOOP, TRACK_ON, TRACK_OPTIN, TRACK_OPTOUT, Call, Client, Follower,
    Node, Slice,
)

cdef enum:
    SHOWN = 256                # bytes of a prefix repeated in an error

cdef struct Mode:              # what one bit of Client.tracking is called by CLIENT TRACKINGINFO
    int bit
    const char* name

cdef Mode[6] modes
modes[0] = Mode(TRACK_BCAST, b"bcast")
modes[1] = Mode(TRACK_OPTIN, b"optin")
modes[2] = Mode(TRACK_OPTOUT, b"optout")
modes[3] = Mode(TRACK_CACHING, NULL)
modes[4] = Mode(TRACK_NOLOOP, b"noloop")
modes[5] = Mode(TRACK_BROKEN, b"broken_redirect")


cdef void tracking_end(Node* node, Client* client) noexcept nogil:
    """The client tracks nothing any more, or is gone."""
    if client.tracking:
        node.trackers -= 1
        node.tracked_gone = node.tracked_gone or not client.tracking & TRACK_BCAST
        prefixes_leave(node, client)
        client.tracking = 0
        client.redirect = 0


cdef bint is_prefix_at(Call* call, int index) noexcept nogil:
    return is_word(&call.argv[index], b"prefix") and index + 1 < call.argc


cdef void answer_overlap(Call* call, const Slice* one, const Slice* other, const char* which) noexcept nogil:
    cdef char shown[SHOWN]
    cdef char shown_other[SHOWN]
    cdef char text[2 * SHOWN + 128]
    copy_text(shown, SHOWN, one)
    copy_text(shown_other, SHOWN, other)
    snprintf(text, sizeof(text), b"ERR Prefix '%s' overlaps with %s prefix '%s'. Prefixes for a single client must not "
             b"overlap.", shown, which, shown_other)
    answer_error(call, text)


cdef int next_prefix(Call* call, int index) noexcept nogil:
    """The argument of the first PREFIX option from `index` on, 0: none. The arguments are known to be good."""
    while index < call.argc:
        if is_word(&call.argv[index], b"prefix"):
            return index + 1
        index += 2 if is_word(&call.argv[index], b"redirect") else 1
    return 0


cdef bint prefixes_fit(Call* call) noexcept nogil:
    """No prefix of this command may overlap with one that the client has, or with another of this command."""
    cdef Slice other
    cdef int index = next_prefix(call, 3)
    cdef int later
    while index:
        if prefix_overlaps(call.client, &call.argv[index], &other):
            answer_overlap(call, &call.argv[index], &other, b"an existing")
            return False
        later = next_prefix(call, index + 1)
        while later:
            other = call.argv[later]
            if memcmp(other.data, call.argv[index].data, min(other.length, call.argv[index].length)) == 0:
                answer_overlap(call, &call.argv[index], &other, b"another provided")
                return False
            later = next_prefix(call, later + 1)
        index = next_prefix(call, index + 1)
    return True


cdef bint read_options(Call* call, int* tracking, uint64_t* redirect, int* prefixes) noexcept nogil:
    """The options behind ON or OFF; False: answered."""
    cdef long long id
    cdef int index = 3
    while index < call.argc:
        if is_word(&call.argv[index], b"redirect") and index + 1 < call.argc:
            index += 1
            if redirect[0]:
                answer_error(call, b"ERR A client can only redirect to a single other client")
                return False
            if not take_integer(call, &call.argv[index], &id):
                return False
            if id <= 0 or client_find(call.node, <uint64_t> id) == NULL:
                answer_error(call, b"ERR The client ID you want redirect to does not exist")
                return False
            redirect[0] = <uint64_t> id
        elif is_word(&call.argv[index], b"bcast"):
            tracking[0] |= TRACK_BCAST
        elif is_word(&call.argv[index], b"optin"):
            tracking[0] |= TRACK_OPTIN
        elif is_word(&call.argv[index], b"optout"):
            tracking[0] |= TRACK_OPTOUT
        elif is_word(&call.argv[index], b"noloop"):
            tracking[0] |= TRACK_NOLOOP
        elif is_prefix_at(call, index):
            index += 1
            prefixes[0] += 1
        else:
            answer_syntax(call)
            return False
        index += 1
    return True


cdef void track(Call* call, int tracking, uint64_t redirect, int prefixes) noexcept nogil:
    cdef Client* client = call.client
    cdef Slice everything
    cdef int index
    if client.tracking == 0:
        call.node.trackers += 1
    client.tracking = tracking | (client.tracking & TRACK_CACHING if tracking & (TRACK_OPTIN | TRACK_OPTOUT) else 0)
    client.redirect = redirect
    if not tracking & TRACK_BCAST:
        return
    if prefixes == 0:
        everything.data = b""
        everything.length = 0
        prefix_add(call.node, client, &everything)
    index = next_prefix(call, 3)
    while index:
        prefix_add(call.node, client, &call.argv[index])
        index = next_prefix(call, index + 1)


cdef void command_client_tracking(Call* call) noexcept nogil:
    """CLIENT TRACKING ON|OFF [REDIRECT id] [BCAST] [PREFIX prefix …] [OPTIN] [OPTOUT] [NOLOOP]."""
    cdef int before = call.client.tracking
    cdef int tracking = TRACK_ON
    cdef uint64_t redirect = 0
    cdef int prefixes = 0
    if not read_options(call, &tracking, &redirect, &prefixes):
        return
    if is_word(&call.argv[2], b"off"):
        tracking_end(call.node, call.client)
        answer_ok(call)
    elif not is_word(&call.argv[2], b"on"):
        answer_syntax(call)
    elif prefixes and not tracking & TRACK_BCAST:
        answer_error(call, b"ERR PREFIX option requires BCAST mode to be enabled")
    elif before and (before ^ tracking) & TRACK_BCAST:
        answer_error(call, b"ERR You can't switch BCAST mode on/off before disabling tracking for this client, and "
                           b"then re-enabling it with a different mode.")
    elif tracking & TRACK_BCAST and tracking & (TRACK_OPTIN | TRACK_OPTOUT):
        answer_error(call, b"ERR OPTIN and OPTOUT are not compatible with BCAST")
    elif tracking & TRACK_OPTIN and tracking & TRACK_OPTOUT:
        answer_error(call, b"ERR You can't specify both OPTIN mode and OPTOUT mode")
    elif (tracking & TRACK_OPTIN and before & TRACK_OPTOUT) or (tracking & TRACK_OPTOUT and before & TRACK_OPTIN):
        answer_error(call, b"ERR You can't switch OPTIN/OPTOUT mode before disabling tracking for this client, and "
                           b"then re-enabling it with a different mode.")
    elif prefixes_fit(call):
        track(call, tracking, redirect, prefixes)
        answer_ok(call)


cdef void command_client_caching(Call* call) noexcept nogil:
    """CLIENT CACHING YES|NO: whether the keys of the next command are tracked."""
    cdef bint yes = is_word(&call.argv[2], b"yes")
    if not call.client.tracking:
        answer_error(call, b"ERR CLIENT CACHING can be called only when the client is in tracking mode with OPTIN or "
                           b"OPTOUT mode enabled")
    elif not yes and not is_word(&call.argv[2], b"no"):
        answer_syntax(call)
    elif yes and not call.client.tracking & TRACK_OPTIN:
        answer_error(call, b"ERR CLIENT CACHING YES is only valid when tracking is enabled in OPTIN mode.")
    elif not yes and not call.client.tracking & TRACK_OPTOUT:
        answer_error(call, b"ERR CLIENT CACHING NO is only valid when tracking is enabled in OPTOUT mode.")
    else:
        call.client.tracking |= TRACK_CACHING
        answer_ok(call)


cdef void command_client_trackinginfo(Call* call) noexcept nogil:
    cdef Client* client = call.client
    cdef Follower* follower = client.prefixes
    cdef int count = 1
    cdef int index
    for index in range(6):
        count += (client.tracking & modes[index].bit) != 0
    answer_map(call, 3)
    answer_text(call, b"flags")
    answer_set(call, count)
    answer_text(call, b"on" if client.tracking else b"off")
    for index in range(6):
        if client.tracking & modes[index].bit == TRACK_CACHING:
            answer_text(call, b"caching-yes" if client.tracking & TRACK_OPTIN else b"caching-no")
        elif client.tracking & modes[index].bit:
            answer_text(call, modes[index].name)
    answer_text(call, b"redirect")
    command_client_getredir(call)
    answer_text(call, b"prefixes")
    count = 0
    while follower != NULL:
        count += 1
        follower = follower.next_of_client
    answer_array(call, count)
    follower = client.prefixes
    while follower != NULL:
        answer_bulk(call, prefix_name(follower.prefix).data, follower.prefix.length)
        follower = follower.next_of_client


cdef void command_client_getredir(Call* call) noexcept nogil:
    """The id of the client that gets the messages, 0: this one, -1: nobody."""
    answer_number(call, <long long> call.client.redirect if call.client.tracking else -1)
