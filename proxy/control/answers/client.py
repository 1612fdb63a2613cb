"""CLIENT LIST and CLIENT INFO: one line a client, in the field names of Redis 7.2."""

from __future__ import annotations

from collections.abc import Iterable

from proxy.control.answers.context import AnswerContext
from proxy.control.reply import Verbatim, encode
from proxy.control.statistics import ClientRecord
from proxy.errors import ReplyError

__all__ = ["client_type", "describe", "info", "list_", "wanted_type"]

_TYPES = frozenset({"normal", "master", "replica", "slave", "pubsub"})


def info(_args: list[bytes], protocol: int, context: AnswerContext) -> bytes:
    """CLIENT INFO"""
    return encode(Verbatim(describe(context.client) + "\n"), protocol)


def list_(args: list[bytes], protocol: int, context: AnswerContext) -> bytes:
    """CLIENT LIST [TYPE normal|master|replica|pubsub] | [ID id ...]"""
    clients: Iterable[ClientRecord] = context.clients
    match [arg.lower() for arg in args[2:]]:
        case []:
            pass
        case [b"type", _]:
            wanted = wanted_type(args[3])
            clients = (client for client in clients if client_type(client) == wanted)
        case [b"id", *words] if words:
            by_id = {client.id: client for client in clients}
            if not all(word.isdigit() and len(word) < 20 for word in words):
                raise ReplyError("client_id")
            clients = (by_id[int(word)] for word in words if int(word) in by_id)
        case _:
            raise ReplyError("syntax")
    return encode(Verbatim("".join(describe(client) + "\n" for client in clients)), protocol)


def wanted_type(word: bytes) -> str:
    """The operand of a TYPE filter. Raises ReplyError."""
    kind = word.lower().decode("latin-1")
    if kind not in _TYPES:
        raise ReplyError("client_type", type=word)
    return "replica" if kind == "slave" else kind


def describe(client: ClientRecord) -> str:
    """One client as ``name=value`` words. Names and libraries hold no blanks: they are checked when they are set."""
    return " ".join(
        f"{name}={value}"
        for name, value in (
            ("id", client.id),
            ("addr", client.address),
            ("laddr", client.local_address),
            ("fd", client.fd),
            ("name", client.name),
            ("age", int(client.age)),
            ("idle", int(client.idle)),
            ("flags", _flags(client)),
            ("db", client.database),
            ("sub", client.subscriptions),
            ("psub", client.pattern_subscriptions),
            ("ssub", client.shard_subscriptions),
            ("multi", client.queued),
            ("watch", client.watched),
            ("qbuf", client.input_bytes),
            ("qbuf-free", client.input_room),
            ("argv-mem", 0),
            ("multi-mem", 0),
            ("rbs", 0),
            ("rbp", 0),
            ("obl", 0),
            ("oll", client.output_replies),
            ("omem", client.output_bytes),
            ("tot-mem", client.memory),
            ("events", client.events),
            ("cmd", client.command),
            ("user", client.user),
            ("redir", 0 if client.tracking else -1),
            ("resp", client.protocol),
            ("lib-name", client.library_name),
            ("lib-ver", client.library_version),
        )
    )


def _subscribed(client: ClientRecord) -> bool:
    return client.subscriber or bool(
        client.subscriptions or client.pattern_subscriptions or client.shard_subscriptions
    )


def client_type(client: ClientRecord) -> str:
    """What TYPE filters by; replicas are no clients of a proxy, though monitors count as such, as in Redis."""
    return "replica" if client.monitor else "pubsub" if _subscribed(client) else "normal"


def _flags(client: ClientRecord) -> str:
    """Redis's letters: O monitor, P subscribed, x in MULTI, b blocked, t tracking, c closing, U Unix socket, e not
    evicted, T no touch."""
    letters = (
        ("O", client.monitor),
        ("P", _subscribed(client)),
        ("x", client.queued >= 0),
        ("b", client.blocked),
        ("t", client.tracking),
        ("c", client.closing),
        ("U", client.unix),
        ("e", client.no_evict),
        ("T", client.no_touch),
    )
    return "".join(letter for letter, is_set in letters if is_set) or "N"
