# cython: language_level=3, boundscheck=False, wraparound=False, cdivision=True, initializedcheck=False
"""Tables: compiles proxy/commands.py and proxy/errors.py into the rows and templates that the engine reads.

Runs once, when an engine is built, with the GIL. There is no second list of commands anywhere: what the fast lane
knows of a command is what its row says.
"""

from cpython.bytes cimport PyBytes_AS_STRING
from libc.stdlib cimport calloc
from libc.string cimport memcpy

from proxy.engine.effects cimport (
    EFFECT_EXPIRE, EFFECT_GETEX, EFFECT_PEXPIRE, EFFECT_PSETEX, EFFECT_REFUSED, EFFECT_SAME, EFFECT_SET, EFFECT_SETEX,
    EFFECT_SPOP,
)
from proxy.engine.lookup cimport Table, lookup_add, lookup_new
from proxy.engine.types cimport (
    TELLS_FIELD, TELLS_KEY, TELLS_NOTHING,
    ADDS_ARGUMENT, ADDS_ELEMENTS, ADDS_FIELD, ADDS_LESS_ARGUMENT, ADDS_LESS_ONE, ADDS_LIFE, ADDS_LOGGED, ADDS_NOTHING, ADDS_ONE, ANSWER_ACL_WHOAMI, ANSWER_AUTH, ANSWER_CACHING, ANSWER_CLIENT_FLAG, ANSWER_CLIENT_GETNAME, ANSWER_CLIENT_ID,
    ANSWER_CLIENT_OK, ANSWER_CLIENT_REPLY, ANSWER_CLIENT_SETINFO, ANSWER_CLIENT_SETNAME, ANSWER_ECHO, ANSWER_GETREDIR,
    ANSWER_HELLO, ANSWER_NOT_CLUSTER, ANSWER_PING, ANSWER_QUENCH, ANSWER_QUIT, ANSWER_RESET, ANSWER_SELECT, ANSWER_SPECIAL,
    ANSWER_TIME, ANSWER_TRACKING, ANSWER_TRACKINGINFO, BEGIN_INDEX, BEGIN_KEYWORD, BEGIN_OPTION, CHANNELS_ALL,
    CHANNELS_ONE, CHANNELS_PATTERNS, CLASS_LOCAL, CLASS_READ, CLASS_SPLIT, CLASS_WRITE, ERROR_KINDS, FIELDS, NAME_ROOM,
    OPTIONS, PIECES, ROW_BARRIER, ROW_BEFORE_AUTH, ROW_BLOCKS, ROW_CACHEABLE, ROW_CONTAINER, ROW_DISCARD, ROW_EVAL, ROW_EVALSHA,
    ROW_EXEC, ROW_GET, ROW_KEYLESS, ROW_MULTI, ROW_NO_MULTI, ROW_ONE_NODE, ROW_PAUSES, ROW_PUBLISH, ROW_QUIT, ROW_READ, ROW_RESET, ROW_SCRIPT,
    ROW_SHARD, ROW_SUBSCRIBED, ROW_TRACKING, ROW_UNSEEN, ROW_UNWATCH, ROW_WAIT, ROW_WATCH, ROW_WRITE, SPECS, USE_READ,
    USE_WRITE, VARIES_BITFIELD, VARIES_SET, VARIES_SORT, Core, KeySpec, Row, RowStats, Template,
)

from proxy.commands import COMMANDS, Lane, refusal
from proxy.errors import ENGINE_ERRORS, ENGINE_FIELDS

# LANE_ENGINE rows and the code that answers them.
ANSWERS = {
    "ping": ANSWER_PING, "echo": ANSWER_ECHO, "quit": ANSWER_QUIT, "reset": ANSWER_RESET, "hello": ANSWER_HELLO,
    "auth": ANSWER_AUTH, "select": ANSWER_SELECT, "time": ANSWER_TIME, "client|id": ANSWER_CLIENT_ID,
    "client|setname": ANSWER_CLIENT_SETNAME, "client|getname": ANSWER_CLIENT_GETNAME,
    "client|setinfo": ANSWER_CLIENT_SETINFO, "client|no-evict": ANSWER_CLIENT_FLAG,
    "client|no-touch": ANSWER_CLIENT_FLAG, "client|reply": ANSWER_CLIENT_REPLY,
    "client|maint_notifications": ANSWER_CLIENT_OK,
    "multi": ANSWER_SPECIAL, "exec": ANSWER_SPECIAL, "discard": ANSWER_SPECIAL, "watch": ANSWER_SPECIAL,
    "unwatch": ANSWER_SPECIAL, "wait": ANSWER_SPECIAL, "client|tracking": ANSWER_TRACKING,
    "client|caching": ANSWER_CACHING, "client|getredir": ANSWER_GETREDIR, "client|trackinginfo": ANSWER_TRACKINGINFO,
    "acl|whoami": ANSWER_ACL_WHOAMI, "client|quench": ANSWER_QUENCH, "readonly": ANSWER_NOT_CLUSTER, "readwrite": ANSWER_NOT_CLUSTER, "asking": ANSWER_NOT_CLUSTER,
    "cluster": ANSWER_NOT_CLUSTER,
}
BARRIERS = {"reset", "hello", "auth", "select", "client|reply"}
# What waits while writes are paused although it is not flagged as a write: scripts that may write, what publishes, and
# PFCOUNT, which caches.
PAUSES = {"eval", "evalsha", "fcall", "publish", "spublish", "pfcount"}
SPECIAL = {
    "multi": ROW_MULTI, "exec": ROW_EXEC | ROW_WRITE, "discard": ROW_DISCARD, "reset": ROW_RESET, "quit": ROW_QUIT,
    "watch": ROW_WATCH, "unwatch": ROW_UNWATCH, "wait": ROW_WAIT, "client|tracking": ROW_TRACKING,
    "client|caching": ROW_TRACKING, "client|getredir": ROW_TRACKING, "client|trackinginfo": ROW_TRACKING,
}
# How rows whose effect is `rewritten` are.
EFFECTS = {
    "expire": EFFECT_EXPIRE, "pexpire": EFFECT_PEXPIRE, "setex": EFFECT_SETEX, "psetex": EFFECT_PSETEX,
    "set": EFFECT_SET, "getex": EFFECT_GETEX, "spop": EFFECT_SPOP,
}
BY_BODY = {"eval", "eval_ro"}
BY_DIGEST = {"evalsha", "evalsha_ro"}
BEFORE_AUTH = {"auth", "hello", "quit", "reset"}
SUBSCRIBED = {
    "subscribe", "unsubscribe", "psubscribe", "punsubscribe", "ssubscribe", "sunsubscribe", "ping", "quit", "reset",
}
# Rows whose options say what they do to keys.
VARIES = {"set": VARIES_SET, "bitfield": VARIES_BITFIELD, "sort": VARIES_SORT, "sort_ro": VARIES_SORT}
# Of counters that are spread over several nodes, beside increments and GET: proxy/lanes/sharded.py answers them.
SHARDABLE = {
    "set", "setnx", "setex", "psetex", "getset", "getdel", "mget", "del", "unlink", "exists", "touch", "type", "ttl",
    "pttl", "expiretime", "pexpiretime", "expire", "pexpire", "expireat", "pexpireat", "persist",
}
ADDS = {
    "incr": ADDS_ONE, "decr": ADDS_LESS_ONE, "incrby": ADDS_ARGUMENT, "decrby": ADDS_LESS_ARGUMENT, "hincrby": ADDS_FIELD,
    "expire": ADDS_LIFE, "pexpire": ADDS_LIFE, "sadd": ADDS_ELEMENTS, "pfadd": ADDS_LOGGED,
}
BEGINS = {"index": BEGIN_INDEX, "keyword": BEGIN_KEYWORD, "option": BEGIN_OPTION}


cdef char* keep(list kept, bytes text):
    """The bytes of `text`, alive as long as `kept` is."""
    kept.append(text)
    return PyBytes_AS_STRING(text)


cdef list build_rows(Core* core, list kept):
    """Compile the command table: top-level rows first, then the subcommands of each container together.

    Returns the names by row. What the rows point at is kept alive in `kept`.
    """
    cdef Row* row
    commands = list(COMMANDS.values())
    order = list(commands)
    children = {}
    for command in commands:
        if command.subcommands:
            children[command.name] = (len(order), len(command.subcommands))
            order.extend(command.subcommands.values())
    core.row_count = len(order)
    core.rows = <Row*> calloc(len(order), sizeof(Row))
    core.row_stats = <RowStats*> calloc(len(order), sizeof(RowStats))
    core.lookup = lookup_new()
    if core.rows == NULL or core.row_stats == NULL or core.lookup == NULL:
        raise MemoryError
    for index, command in enumerate(order):
        row = &core.rows[index]
        row.index = index
        fill_row(kept, row, command)
        if command.name in children:
            row.flags |= ROW_CONTAINER
            row.children, row.child_count = children[command.name]
        if index < len(commands):
            name = command.name.encode()
            if not lookup_add(<Table*> core.lookup, name, len(name), index):
                raise ValueError(f"the command name {command.name!r} is too long for the engine")
    return [command.name for command in order]


cdef fill_row(list kept, Row* row, command):
    cdef KeySpec* spec
    copy_name(row.name, command.name.rpartition("|")[2], NAME_ROOM)
    copy_name(row.full_name, command.name, 2 * NAME_ROOM)
    row.arity = command.arity
    row.lane = command.lane
    if command.may_write:
        row.flags |= ROW_WRITE
    if command.name in BEFORE_AUTH:
        row.flags |= ROW_BEFORE_AUTH
    row.flags |= SPECIAL.get(command.name, 0)
    if "no_multi" in command.flags:
        row.flags |= ROW_NO_MULTI
    if command.blocking:
        row.flags |= ROW_BLOCKS
    if command.one_node:
        row.flags |= ROW_ONE_NODE
    if command.admin:
        row.flags |= ROW_UNSEEN
    if command.from_replicas:
        row.flags |= ROW_READ
    if command.cacheable:
        row.flags |= ROW_CACHEABLE | (ROW_GET if command.name == "get" else 0)
    if command.write or command.name in PAUSES:
        row.flags |= ROW_PAUSES
    if command.name in BY_BODY:
        row.flags |= ROW_EVAL
    if command.name in BY_DIGEST:
        row.flags |= ROW_EVALSHA
    if command.name in SUBSCRIBED:
        row.flags |= ROW_SUBSCRIBED
    if command.publishes:
        # That it happened cannot be taken back: its fate matters as a write's does.
        row.flags |= ROW_PUBLISH | ROW_WRITE | (ROW_SHARD if command.name == "spublish" else 0)
    if command.name in BARRIERS or command.lane == Lane.CONTROL:
        row.flags |= ROW_BARRIER
    if command.may_write and not command.publishes:
        if command.effect == "rewritten":
            row.effect = EFFECTS[command.name]
        else:
            row.effect = EFFECT_REFUSED if command.effect == "refused" else EFFECT_SAME
    row.adds = ADDS.get(command.name, ADDS_NOTHING)
    row.shardable = command.name in SHARDABLE
    row.tells = {"get": TELLS_KEY, "hget": TELLS_FIELD}.get(command.name, TELLS_NOTHING)
    fill_rights(row, command)
    row.kind = CLASS_WRITE if row.flags & ROW_WRITE else CLASS_READ
    if command.lane in (Lane.MGET, Lane.MSET, Lane.SUM):
        row.kind = CLASS_SPLIT
    elif command.lane not in (Lane.FAST,):
        row.kind = CLASS_LOCAL
    copy_name(row.blocks_with, command.blocks_with.lower(), NAME_ROOM)
    if len(command.options) > OPTIONS or len(command.routes) > SPECS:
        raise ValueError(f"the row of {command.name!r} has more options or key specs than the engine has room for")
    for place, (name, operands) in enumerate(command.options.items()):
        copy_name(row.options[place], name.lower(), NAME_ROOM)
        row.operands[place] = operands
    row.option_count = len(command.options)
    row.spec_count = len(command.routes)
    for place, source in enumerate(command.routes):
        spec = &row.specs[place]
        spec.begin = BEGINS[source.begin]
        spec.by_number = source.find == "keynum"
        spec.index = source.index if source.begin == "index" else source.start_from
        spec.last = source.last_key
        spec.step = source.key_step
        spec.limit = source.limit
        spec.number_index = source.keynum_index
        spec.first = source.first_key
        spec.use = (USE_READ if source.reads else 0) | (USE_WRITE if source.writes else 0)
        copy_name(spec.keyword, source.keyword.lower(), NAME_ROOM)
    # One key at a fixed place, the command's arity granting that it is there: the straight road of dispatch.
    if command.lane == Lane.FAST and len(command.routes) == 1 and not command.blocks_with and not command.publishes:
        spec = &row.specs[0]
        least = command.arity if command.arity > 0 else -command.arity
        if (spec.begin == BEGIN_INDEX and not spec.by_number and spec.last == 0
                and 0 < spec.index < min(least, 4)):
            row.key = spec.index
    if command.lane == Lane.ENGINE:
        # Every subcommand of CLUSTER gets one answer.
        name = command.name.partition("|")[0] if command.name.startswith("cluster|") else command.name
        if name not in ANSWERS:
            raise ValueError(f"the engine has no answer for {command.name!r}; give its row another lane")
        row.answer = ANSWERS[name]
    if command.lane in (Lane.LATER, Lane.REFUSED):
        text = refusal(command).reply
        row.refusal = keep(kept, text)
        row.refusal_length = len(text)


cdef fill_rights(Row* row, command):
    """What rights.pyx wants to know of a command besides its key specs."""
    if command.runs_code:
        row.flags |= ROW_SCRIPT
    if "no_mandatory_keys" in command.flags:
        row.flags |= ROW_KEYLESS
    row.varies = VARIES.get(command.name, 0)
    told = all("variable_flags" not in spec.flags and spec.begin != "unknown" for spec in command.key_specs)
    if not told and not row.varies:
        raise ValueError(f"what {command.name!r} does to its keys depends on its options; say how in VARIES")
    if command.channels.stop != 0:
        row.channels = CHANNELS_ALL if command.channels.stop is None else CHANNELS_ONE
        if command.channel_patterns:
            row.channels = CHANNELS_PATTERNS


cdef build_errors(Core* core, list kept):
    """Split the templates of proxy/errors.py at their placeholders."""
    cdef Template* template
    if len(ENGINE_ERRORS) != ERROR_KINDS or len(ENGINE_FIELDS) != FIELDS - 1:
        raise ValueError("the error table and the engine disagree about the errors there are")
    for kind, error in enumerate(ENGINE_ERRORS):
        template = &core.errors[kind]
        rest = error.text
        while rest:
            if template.count == PIECES:
                raise ValueError(f"the text of error {error.code!r} has too many placeholders")
            literal, brace, rest = rest.partition("{")
            text = literal.encode()
            template.literal[template.count] = keep(kept, text)
            template.length[template.count] = len(text)
            if brace:
                name, _, rest = rest.partition("}")
                template.field[template.count] = 1 + ENGINE_FIELDS.index(name)
            template.count += 1


cdef copy_name(char* room, str text, int size):
    """Copy a name into a zero-padded field."""
    encoded = text.encode()
    if len(encoded) >= size:
        raise ValueError(f"the name {text!r} is too long for the engine")
    memcpy(room, PyBytes_AS_STRING(encoded), len(encoded))
