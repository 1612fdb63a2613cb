"""CONFIG GET: the few settings that clients and tools ask a Redis server for.

Tools read them to size themselves (redis-benchmark asks for save and appendonly, admin panels for databases). A name
that only makes sense on a node has the value it would have on a server that does not do it.
"""

from __future__ import annotations

from proxy.control.answers.context import AnswerContext
from proxy.control.answers.glob import glob
from proxy.control.reply import encode

__all__ = ["DEFAULTS", "get"]

#: name → the value where the settings have none.
DEFAULTS: dict[str, object] = {
    "appendfsync": "everysec",
    "appendonly": False,
    "bind": "",
    "client-query-buffer-limit": 1 << 30,
    "cluster-enabled": False,
    "databases": 16,
    "dir": "",
    "hz": 10,
    "io-threads": 1,
    "latency-monitor-threshold": 0,
    "lazyfree-lazy-user-del": False,
    "loglevel": "notice",
    "maxclients": 10_000,
    "maxmemory": 0,
    "maxmemory-policy": "noeviction",
    "maxmemory-samples": 5,
    "notify-keyspace-events": "",
    "port": 0,
    "proto-max-bulk-len": 512 << 20,
    "protected-mode": False,
    "repl-diskless-sync": True,
    "replica-read-only": True,
    "requirepass": "",
    "save": "",
    "slowlog-log-slower-than": 10_000,
    "slowlog-max-len": 128,
    "tcp-backlog": 511,
    "tcp-keepalive": 300,
    "timeout": 0,
    "tls-port": 0,
    "unixsocket": "",
}

#: Never shown, whatever the settings hold.
_SECRETS = frozenset({"requirepass", "masterauth"})


def get(args: list[bytes], protocol: int, context: AnswerContext) -> bytes:
    """CONFIG GET pattern [pattern ...]"""
    patterns = [glob(pattern) for pattern in args[2:]]
    known = {**DEFAULTS, **context.settings}
    return encode(
        {
            name: "" if name in _SECRETS else _text(known[name])
            for name in sorted(known)
            if any(pattern(name.encode()) for pattern in patterns)
        },
        protocol,
    )


def _text(value: object) -> str:
    if isinstance(value, bool):
        return "yes" if value else "no"
    return str(value)
