"""Rights: may this user run this request? Pure, from the records of `proxy/acl.py`; for ACL DRYRUN.

The engine judges by itself (`proxy/engine/rights.pyx`), from the same records compiled; this is the same decision in
plain words, and the naive twin that the compiled one is tested against.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import lru_cache

from proxy.commands import Command, KeySpec, key_uses
from proxy.control.answers.glob import glob
from proxy.control.denials import Denial
from proxy.errors import ReplyError
from proxy.settings import Selector, User

__all__ = ["READ", "WRITE", "external_keys", "permitted", "use_of"]

READ, WRITE = 1, 2


def permitted(user: User, command: Command, args: Sequence[bytes]) -> tuple[Denial, int]:
    """(NONE, 0), or why not and the position of the argument in question. ``args`` has the arity of ``command``."""
    if user.unrestricted:
        return Denial.NONE, 0
    worst = (Denial.COMMAND, 0)
    for selector in user.selectors:
        found = _judge(user, selector, command, args)
        if found[0] is Denial.NONE:
            return found
        worst = max(worst, found)
    return worst


def _judge(user: User, selector: Selector, command: Command, args: Sequence[bytes]) -> tuple[Denial, int]:
    if "no_auth" not in command.flags and command.name not in selector.commands:
        first = args[1].decode("latin-1").lower() if len(args) > 1 else ""
        if (command.name, first) not in selector.first_arguments:
            return Denial.COMMAND, 0
    if not selector.all_keys and command.routes and not command.publishes:
        try:
            keys = key_uses(command, args)
        except ReplyError:
            # Nobody can say which keys these are; the node would say that the request is wrong.
            return Denial.KEY, 0
        for position, spec in keys:
            if not _opens(selector, args[position], use_of(command, spec, args)):
                return Denial.KEY, position
    if not selector.all_channels:
        matches = _same if command.channel_patterns else _glob
        for position in range(*command.channels.indices(len(args))):
            if not any(matches(known)(args[position]) for known in selector.channels):
                return Denial.CHANNEL, position
    if command.runs_code and not user.scripts:
        return Denial.SCRIPT, 0
    return Denial.NONE, 0


def _opens(selector: Selector, key: bytes, use: int) -> bool:
    return any(
        use & ~(known.read * READ | known.write * WRITE) == 0 and _glob(known.pattern)(key) for known in selector.keys
    )


def use_of(command: Command, spec: KeySpec, args: Sequence[bytes]) -> int:
    """READ and WRITE: what the request does to the keys of one of its specifications; neither for a question that
    shows no content. Of SET and BITFIELD the options decide, where the specification says the most."""
    words = [arg.lower() for arg in args]
    if command.name == "set":
        return READ | WRITE if b"get" in words[3:] else WRITE
    if command.name == "bitfield":
        return READ if _only_gets(words) else READ | WRITE
    return spec.reads * READ | spec.writes * WRITE


def _only_gets(words: Sequence[bytes]) -> bool:
    at = 2
    while at < len(words):
        if words[at] == b"get" and len(words) - at > 2:
            at += 3
        elif words[at] == b"overflow" and len(words) - at > 1:
            at += 2
        else:
            return False
    return True


@lru_cache(maxsize=1024)
def _glob(pattern: str) -> Callable[[bytes], bool]:
    matches = glob(_encode(pattern), any_case=False)
    return lambda text: matches(text) if text else not pattern  # Redis has no star for the empty key here


def _same(text: str) -> Callable[[bytes], bool]:
    return _encode(text).__eq__


def _encode(text: str) -> bytes:
    return text.encode()


def _reads_everything(user: User, selector: Selector, command: Command, args: Sequence[bytes]) -> bool:
    every = selector.all_keys or any(known.read and known.pattern == "*" for known in selector.keys)
    return every and _judge(user, selector, command, args)[0] is Denial.NONE


def external_keys(user: User, command: Command, args: Sequence[bytes]) -> str:
    """`BY` or `GET` where a SORT names keys by a pattern of elements and the user may not read every key; else ""."""
    if command.name not in ("sort", "sort_ro"):
        return ""
    if any(_reads_everything(user, selector, command, args) for selector in user.selectors):
        return ""
    for name, place in command.options_of(args, 2):
        if place < len(args) and (name == "GET" or (name == "BY" and b"*" in args[place])):
            return name
    return ""
