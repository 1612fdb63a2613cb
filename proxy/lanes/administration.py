"""Administration: closing and pausing clients, changing settings, and what else an operator does through a client.

Each pool is one server to its clients, so these commands see and touch the clients of the caller's pool alone; the
log level and the statistics are the process's.
"""

from __future__ import annotations

import logging
import re
import resource
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from functools import partial

import trio

from proxy.control.answers.client import client_type, wanted_type
from proxy.control.answers.glob import glob
from proxy.control.clients import Clients
from proxy.control.engines import Engines
from proxy.control.parameters import LOG_LEVELS, PARAMETERS, parse
from proxy.control.request import Answer, Handler, Request
from proxy.control.snapshot import Snapshot
from proxy.control.statistics import ClientRecord
from proxy.errors import ReplyError
from proxy.lanes.links import Links
from proxy.lanes.raw import parse as parse_reply

__all__ = ["Administration"]

#: Milliseconds of the longest pause; longer ones end then.
LONGEST_PAUSE = (1 << 32) - 1

#: Seconds that DEBUG SLEEP may take: what it waits for holds memory even if its client leaves.
LONGEST_SLEEP = 60.0

OK = b"+OK\r\n"

_PAUSE_MODES = {b"write": 1, b"all": 2}


class Administration:
    """The handlers of CLIENT KILL, UNBLOCK, PAUSE and UNPAUSE, CONFIG SET and RESETSTAT, and DEBUG."""

    #: By full command name, the method that answers it.
    COMMANDS: Mapping[str, str] = {
        "client|kill": "kill",
        "client|pause": "pause",
        "client|unblock": "unblock",
        "client|unpause": "unpause",
        "config|resetstat": "reset_statistics",
        "config|set": "set_parameters",
        "debug": "debug",
    }

    def __init__(self, engines: Engines, clients: Clients, snapshot: Snapshot, links: Links) -> None:
        self._links = links
        self._engines = engines
        self._clients = clients
        self._snapshot = snapshot

    def handlers(self) -> dict[str, Handler]:
        """For `Requests`."""
        return {name: getattr(self, method) for name, method in self.COMMANDS.items()}

    async def kill(self, request: Request) -> Answer:
        """CLIENT KILL address | filter value [filter value ...]. Who kills itself is answered first."""
        old = len(request.args) == 3
        chosen, spare_me = _filters(request.args, self._clients.user_names(request.pool))
        found = {
            client.id
            for client in await self._clients.everyone()
            if client.pool == request.pool and chosen(client) and not (spare_me and client.id == request.client_id)
        }
        myself = request.client_id in found
        closed = await self._clients.kill(found - {request.client_id}) if found - {request.client_id} else set()
        number = len(closed) + myself
        if old and not number:
            raise ReplyError("client_unknown")
        return Answer(OK if old else b":%d\r\n" % number, close=myself)

    async def unblock(self, request: Request) -> bytes:
        """CLIENT UNBLOCK id [TIMEOUT | ERROR]: the node that the client waits at ends it, in its own words."""
        number = _number(request.args[2], "not_an_integer")
        reason = request.args[3] if len(request.args) > 3 else b"TIMEOUT"
        if len(request.args) > 4 or reason.upper() not in (b"TIMEOUT", b"ERROR"):
            raise ReplyError("unblock_reason" if len(request.args) == 4 else "syntax")
        done = 0
        for client in await self._clients.everyone():
            if client.id == number and client.pool == request.pool:
                for node, connection in client.waits:
                    words = (b"CLIENT", b"UNBLOCK", b"%d" % connection, reason)
                    done += await self._links.ask(request.pool, node, words) == b":1\r\n"
        return b":%d\r\n" % bool(done)

    async def pause(self, request: Request) -> bytes:
        """CLIENT PAUSE milliseconds [WRITE | ALL]"""
        if len(request.args) > 4:
            raise ReplyError("subcommand_arity", arguments=request.args[1], command=request.args[0].upper())
        mode = _PAUSE_MODES.get(request.args[3].lower()) if len(request.args) == 4 else _PAUSE_MODES[b"all"]
        if mode is None:
            raise ReplyError("pause_mode")
        milliseconds = _number(request.args[2], "timeout_number")
        if milliseconds < 0:
            raise ReplyError("timeout_negative")
        await self._clients.pause(request.pool, mode, min(milliseconds, LONGEST_PAUSE))
        return OK

    async def unpause(self, request: Request) -> bytes:
        """CLIENT UNPAUSE"""
        await self._clients.pause(request.pool, 0)
        return OK

    async def set_parameters(self, request: Request) -> bytes:
        """CONFIG SET name value [name value ...]: all of them or none. It holds in the caller's engine before the reply
        is sent, in the others within a turn."""
        values = parse(request.args[2:])
        told = [word for name, value in values.items() if PARAMETERS[name].of_nodes for word in (name, str(value))]
        if told:
            await self._links.agreed(request, [b"CONFIG", b"SET", *(word.encode("latin-1") for word in told)])
        files = resource.getrlimit(resource.RLIMIT_NOFILE)[0]
        if int(values.get("maxclients", 0)) > files:
            raise ReplyError(
                "config_failed", name="maxclients", reason="The operating system is not able to handle the specified "
                f"number of clients, try with {files}",
            )  # fmt: skip
        for name, value in values.items():
            row = PARAMETERS[name]
            for engine in self._engines.engines if row.limit else ():
                await self._engines.post(partial(engine.set_limit, request.pool, row.limit, int(value) * row.scale))
        if "loglevel" in values:
            logging.getLogger("quench").setLevel(LOG_LEVELS[str(values["loglevel"])])
        self._snapshot.change(request.pool, values)
        return OK

    async def before_get(self, request: Request) -> None:
        """CONFIG GET: what belongs to the nodes is asked of the first; where that fails, the last known is shown."""
        names = [name for name, row in PARAMETERS.items() if row.of_nodes]
        patterns = [glob(pattern) for pattern in request.args[2:]]
        if any(pattern(name.encode()) for pattern in patterns for name in names):
            with suppress(ReplyError):
                words = [b"CONFIG", b"GET", *(name.encode() for name in names)]
                node = next(iter(self._links.nodes(request.pool)), 0)
                reply = await self._links.ask(request.pool, node, words)
                flat = [word.decode("latin-1") for word in parse_reply(reply)]
                self._snapshot.change(request.pool, dict(zip(flat[::2], flat[1::2], strict=True)))

    async def reset_statistics(self, _request: Request) -> bytes:
        """CONFIG RESETSTAT"""
        self._snapshot.reset()
        return OK

    async def debug(self, request: Request) -> bytes:
        """DEBUG SLEEP seconds, for this client alone; everything else is about one server's inside."""
        match request.args:
            case [_, word, seconds] if word.lower() == b"sleep" and re.fullmatch(rb"\d{1,9}(\.\d*)?", seconds):
                await trio.sleep(min(float(seconds), LONGEST_SLEEP))
                return OK
        raise ReplyError(
            "refused", command=b" ".join(request.args[:2]).lower(),
            why="it reaches into one server's internals: ask the node itself",
        )  # fmt: skip


def _filters(args: list[bytes], users: Sequence[str]) -> tuple[Callable[[ClientRecord], bool], bool]:
    """What CLIENT KILL is to close: clients that pass all filters. And whether it spares the caller."""
    if len(args) == 3:
        address = args[2].decode("latin-1")
        return lambda client: client.address == address, False
    if len(args) % 2:
        raise ReplyError("syntax")
    wanted: dict[str, object] = {}  # attributes of a client record
    kind, age, spare_me = "", 0, True
    for name, value in zip(args[2::2], args[3::2], strict=True):
        text = value.decode("latin-1")
        match name.lower():
            case b"id":
                wanted["id"] = _positive(value, "client_id_number", "client_id_number")
            case b"maxage":
                age = _positive(value, "client_age_number", "client_age")
            case b"type":
                kind = wanted_type(value)
            case b"addr":
                wanted["address"] = text
            case b"laddr":
                wanted["local_address"] = text
            case b"user":
                if text not in users:
                    raise ReplyError("user_unknown", user=value)
                wanted["user"] = text
            case b"skipme" if value.lower() in (b"yes", b"no"):
                spare_me = value.lower() == b"yes"
            case _:
                raise ReplyError("syntax")

    def chosen(client: ClientRecord) -> bool:
        return (
            all(getattr(client, name) == value for name, value in wanted.items())
            and client.age >= age
            and (not kind or client_type(client) == kind)
        )

    return chosen, spare_me


def _number(text: bytes, error: str) -> int:
    """An integer of 64 bits as Redis reads it: no blanks, no plus, no leading zeros."""
    if not re.fullmatch(rb"0|-?[1-9][0-9]{0,18}", text) or not -(1 << 63) <= int(text) < 1 << 63:
        raise ReplyError(error)
    return int(text)


def _positive(text: bytes, malformed: str, small: str) -> int:
    number = _number(text, malformed)
    if number < 1:
        raise ReplyError(small)
    return number
