"""predixy's configuration to a pool: its own syntax of keys, values and braces, one server pool a file.

Pure: text in, a Migration out; `include` gives the text of an included file. Of StandaloneServerPool and
SentinelServerPool each Group becomes a node, its first server the address; the slots of a ClusterServerPool do not
carry over.

predixy places a key by crc16 modulo the number of groups, in the order of the file. Quench does the same with `hash:
crc16` and `distribution: modula`, except that its crc16 is twemproxy's, of which only the low 16 bits are the CRC: the
remainders agree if the number of groups is a power of two. Then every key stays where it is; else keys move.
"""

import posixpath
import re
from collections.abc import Callable, Iterator

from msgspec import Struct, field

from proxy.address import make_server, parse_listen
from proxy.migration import Migration, secret
from proxy.units import format_duration

MOST_DEPTH = 8
POOLS = ("standaloneserverpool", "sentinelserverpool", "clusterserverpool")
WRITERS = ("write", "admin")

# What to say of keys that are known and do not carry over; "" needs no word.
GLOBAL = {
    "maxmemory": "memory is bounded by what it is for: see limits.input_total, limits.output_total, limits.backlog",
    "clienttimeout": "idle clients are not closed; tcpkeepalive finds those that vanished",
    "bufsize": "buffers grow and are given back",
    "log": "logs go to standard error",
    "logrotate": "logs go to standard error; whoever collects them rotates",
    "allowmisslog": "logs go to standard error",
    "logverbsample": "see quench run -v", "logdebugsample": "see quench run -v", "loginfosample": "see quench run -v",
    "lognoticesample": "see quench run -v", "logwarnsample": "see quench run -v", "logerrorsample": "see quench run -v",
    "latencymonitor": "INFO latencystats has every command, without a setting",
    "localdc": "nodes are not told apart by where they are",
    "datacenter": "nodes are not told apart by where they are",
    "customcommand": "commands that Redis does not have are refused as unknown",
}  # fmt: skip
POOL = {
    "masterreadpriority": "reads go to the first server of a group",
    "staticslavereadpriority": "reads go to the first server of a group",
    "dynamicslavereadpriority": "reads go to the first server of a group",
    "refreshinterval": "nodes are not refreshed; a name is resolved again at every reconnection",
    "databases": "clients may select databases 0 to 15",
}


class Entry(Struct):
    """One key of the file, with what stands in its braces."""

    key: str
    value: str
    place: str  # file:line
    inner: list["Entry"] = field(default_factory=list)
    scope: bool = False


def convert(text: str, file: str = "predixy.conf", include: Callable[[str], str] | None = None) -> Migration:
    """The pool of a predixy configuration. Raises ValueError, with a place and advice, if there is none to be had.

    `include` gives the text of a file, by its path beside that of `file`, and may raise OSError.
    """
    migration = Migration()
    pools: list[Entry] = []
    name, listen = "predixy", "0.0.0.0:7617"
    password: dict[str, str] = {}
    for entry in parse(text, file, include):
        key = entry.key.lower()
        if key == "name":
            name = entry.value
        elif key == "bind":
            listen = entry.value
        elif key == "workerthreads":
            migration.engines = max(1, _number(entry))
        elif key == "authority":
            password = _authority(entry, migration)
        elif key in POOLS:
            pools.append(entry)
        elif reason := GLOBAL.get(key, "has no counterpart"):
            migration.note(entry.place, f"{entry.key}: {reason}")
    if len(pools) != 1:
        raise ValueError(f"{file}: expected one server pool, found {len(pools)}")
    try:
        listening = str(parse_listen(listen))
    except ValueError as error:
        raise ValueError(f"{file}: Bind: {error}") from None
    pool = {"listen": listening, **_pool(pools[0], migration), **password}
    migration.pools[migration.free_name(name)] = pool
    return migration


def parse(text: str, file: str, include: Callable[[str], str] | None, depth: int = 0) -> list[Entry]:
    """The entries of a file, those of its includes in their place. Raises ValueError with file:line."""
    root = Entry("", "", file)
    stack = [root]
    for number, line in enumerate(text.splitlines(), 1):
        place = f"{file}:{number}"
        key, value, scope = _split(line, place)
        if not key:
            continue
        if key == "}":
            if len(stack) == 1:
                raise ValueError(f"{place}: this brace closes nothing")
            stack.pop()
        elif key.lower() == "include":
            if include is None or depth == MOST_DEPTH:
                raise ValueError(f"{place}: cannot include {value}; put its lines here")
            path = posixpath.join(posixpath.dirname(file), value)  # beside the file that includes it
            try:
                inner = include(path)
            except OSError as error:
                raise ValueError(f"{place}: cannot read {path}: {error.strerror}") from None
            stack[-1].inner += parse(inner, path, include, depth + 1)
        else:
            entry = Entry(key, value, place, scope=scope)
            stack[-1].inner.append(entry)
            if scope:
                stack.append(entry)
    if len(stack) > 1:
        raise ValueError(f"{stack[-1].place}: the brace of {stack[-1].key} is never closed")
    return root.inner


def _split(line: str, place: str) -> tuple[str, str, bool]:
    """(key, value, opens a scope) of one line; no key if it is empty. A # ends a line, but within quotes."""
    match = re.match(r"[ \t]*([^ \t#]+)[ \t]*(.*)", line)
    if not match:
        return "", "", False
    key, rest = match[1].rstrip("\r"), match[2]
    if not rest.startswith('"'):
        rest = rest.partition("#")[0].rstrip()
        return key, rest.removesuffix("{").rstrip(), rest.endswith("{")
    quoted = re.match(r'"((?:[^"\\]|\\.)*)"[ \t]*(\{?)[ \t\r]*(?:#.*)?$', rest)
    if not quoted:
        raise ValueError(f"{place}: expected a value in quotes, and nothing or a brace after it")
    return key, re.sub(r"\\([\"\\])", r"\1", quoted[1]), bool(quoted[2])


def _authority(entry: Entry, migration: Migration) -> dict[str, str]:
    """The password of the pool: that of the first Auth that may write. The others are alarms."""
    rows = []
    for auth in entry.inner:
        inner = {item.key.lower(): item.value for item in auth.inner}
        limits = [item.key for item in auth.inner if item.key.lower() != "mode"]
        rows.append((auth, inner.get("mode", "write").lower(), limits))
        if auth.key.lower() != "auth":
            migration.note(auth.place, f"{auth.key}: has no counterpart")
    rows = [row for row in rows if row[0].key.lower() == "auth"]
    free = [row for row in rows if row[1] in WRITERS and not row[2]]
    chosen = next((row for row in free if not row[0].value), None)  # no password asked: everybody may write already
    chosen = chosen or next(iter(free), None) or next((row for row in rows if row[0].value), None)
    for row in rows:
        auth, mode, limits = row
        said = f"Auth {'with' if auth.value else 'without'} a password, Mode {mode}{''.join(f', {x}' for x in limits)}"
        if row is chosen:
            if mode not in WRITERS or limits:
                migration.alarm(auth.place, f"{said}: it becomes the password of the pool, AND MAY DO EVERYTHING")
        elif chosen is None:
            migration.alarm(auth.place, f"{said}: no password is left to set: EVERYBODY MAY DO EVERYTHING")
        elif not auth.value:
            migration.alarm(auth.place, f"{said}: a client without a password is not let in any more")
        elif not chosen[0].value:
            migration.alarm(auth.place, f"{said}: the pool has no password, as clients without one may write")
        else:
            migration.alarm(auth.place, f"{said}: clients with it are not let in, a pool has one password")
    if chosen is None or not chosen[0].value:
        return {}
    return {"password": secret(chosen[0].value, chosen[0].place)}


def _pool(entry: Entry, migration: Migration) -> dict[str, object]:
    """The options of the server pool. Raises ValueError if it has no nodes in the file."""
    if entry.key.lower() == "clusterserverpool":
        raise ValueError(f"{entry.place}: {entry.key}: Redis Cluster is not spoken; its slots cannot be carried over")
    pool: dict[str, object] = {}
    settings = {"hash": "", "distribution": ""}
    groups: list[Entry] = []
    sentinel = entry.key.lower() == "sentinelserverpool"
    waits = False
    for item in entry.inner:
        key = item.key.lower()
        if key == "group":
            groups.append(item)
        elif key in settings:
            settings[key] = item.value.lower()
        elif key == "hashtag":
            if item.value:
                pool["hash_tag"] = item.value
        elif key == "password":
            pool["node_password"] = secret(item.value, item.place)
        elif key == "servertimeout" and (seconds := _seconds(item)):
            pool["timeout"], waits = format_duration(seconds), True
        elif key == "serverfailurelimit":
            pool["server_failure_limit"] = max(1, _number(item))
        elif key == "serverretrytimeout" and (seconds := _seconds(item)):
            pool["server_retry_timeout"] = format_duration(seconds)
        elif key == "keepalive":
            pool["tcpkeepalive"] = _number(item) > 0
            if _number(item) > 0:
                migration.note(item.place, "KeepAlive: is on, with the intervals of the kernel")
        elif key == "refreshmethod":
            sentinel = sentinel or item.value.lower() == "sentinel"
        elif key in ("sentinels", "servertimeout", "serverretrytimeout"):
            pass  # said below, or no limit
        elif reason := POOL.get(key, "has no counterpart"):
            migration.note(item.place, f"{item.key}: {reason}")
    if not waits:
        migration.note(entry.place, "without ServerTimeout predixy waits for ever; Quench's default timeout stands")
    migration.note(entry.place, "auto_eject is off: as with predixy, the keys of a failing server wait for it")
    if sentinel:
        migration.alarm(entry.place, "Sentinel is not followed: nodes stay at the addresses below; make sure that each "
                        "is a primary, and after a failover change them")  # fmt: skip
    servers = list(_servers(groups, pool, migration))
    if not servers:
        raise ValueError(f"{entry.place}: {entry.key} has no Group")
    pool["servers"] = servers
    pool |= _placement(entry, settings["hash"], settings["distribution"], len(servers), migration)
    return pool


def _servers(groups: list[Entry], pool: dict[str, object], migration: Migration) -> Iterator[str]:
    """One node a group, with names that sort as the groups stand in the file: modula counts nodes in that order."""
    if not groups:
        return
    names = [group.value for group in groups]
    ordered = sorted(set(names), key=lambda name: (len(name.encode()), name.encode()))
    if names != ordered or not all(re.fullmatch(r"[A-Za-z0-9_.-]+", name) for name in names):
        names = [f"group-{number:04}" for number in range(len(groups))]
        migration.note(groups[0].place, "groups are renamed, because nodes are counted in the order of their names")
    for name, group in zip(names, groups, strict=True):
        listed = [item.value for item in group.inner if item.key == "+"]
        if not listed:
            raise ValueError(
                f"{group.place}: Group {group.value} lists no server; write its primary's address into it, as "
                f"SENTINEL GET-MASTER-ADDR-BY-NAME {group.value} gives it"
            )
        password, at, address = listed[0].rpartition("@")
        address = address.split()[0] if address.split() else ""
        if at and password != pool.setdefault("node_password", secret(password, group.place)):
            migration.alarm(group.place, "has a password of its own; a pool gives one password to all of its nodes")
        for other in listed[1:]:
            migration.note(group.place, f"{other.rpartition('@')[2]} is a replica; replicas have no place")
        try:
            yield str(make_server(address, name=name))
        except ValueError as error:
            raise ValueError(f"{group.place}: {error}") from None


def _placement(entry: Entry, hash_: str, distribution: str, count: int, migration: Migration) -> dict[str, object]:
    """hash and distribution; an alarm if keys move."""
    if count == 1:
        return {}
    if distribution == "random":
        return {"distribution": "random"}
    if hash_ == "crc16" and count & (count - 1) == 0:
        migration.note(entry.place, f"every key stays where it is: crc16 modulo {count}, in the order of the groups")
        return {"hash": "crc16", "distribution": "modula"}
    cause = f"{count} groups, which is no power of two" if hash_ == "crc16" else f"Hash {hash_ or 'missing'}"
    migration.alarm(
        entry.place, f"KEYS MOVE. predixy's placement ({cause}) cannot be had, and ketama puts most keys elsewhere. "
        "A cache starts cold; other data has to be moved. Never let both proxies serve the same nodes at the same time"
    )  # fmt: skip
    return {}


def _number(entry: Entry) -> int:
    """A whole number. Raises ValueError with the place."""
    if not re.fullmatch(r"[0-9]{1,9}", entry.value):
        raise ValueError(f"{entry.place}: {entry.key}: expected a whole number, got '{entry.value}'")
    return int(entry.value)


def _seconds(entry: Entry) -> float:
    """A duration in seconds; 0 is none. Without a unit the number counts seconds. Raises ValueError with the place."""
    match = re.fullmatch(r"([0-9]{1,9})[ \t]*(s|m|ms|u|us|)", entry.value.lower())
    if not match:
        raise ValueError(f"{entry.place}: {entry.key}: expected a duration like 1 or 500ms, got '{entry.value}'")
    unit = {"": 1.0, "s": 1.0, "m": 1e-3, "ms": 1e-3, "u": 1e-6, "us": 1e-6}[match[2]]
    seconds = int(match[1]) * unit
    return max(seconds, 0.001) if seconds else 0.0
