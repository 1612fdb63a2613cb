"""ACL: the users of the caller's pool, what they may do and what was refused to them, in the shapes of Redis 7."""

from __future__ import annotations

import secrets

from proxy.acl import CATEGORIES, SelectorText, describe_selector, describe_user
from proxy.commands import Command, find
from proxy.control.answers.context import AnswerContext
from proxy.control.answers.rights import permitted
from proxy.control.denials import Denial
from proxy.control.reply import Set, Simple, encode
from proxy.errors import ReplyError
from proxy.settings import User

__all__ = ["cat", "dryrun", "genpass", "getuser", "list_", "log", "users"]

_MOST_BITS = 4096
_SHOWN = 10  #: entries of ACL LOG without a count


def list_(_args: list[bytes], protocol: int, context: AnswerContext) -> bytes:
    """ACL LIST: a line of an ACL file for each user."""
    return encode([f"user {user.name} {describe_user(user)}" for user in context.users], protocol)


def users(_args: list[bytes], protocol: int, context: AnswerContext) -> bytes:
    """ACL USERS"""
    return encode([user.name for user in context.users], protocol)


def getuser(args: list[bytes], protocol: int, context: AnswerContext) -> bytes:
    """ACL GETUSER name; nil for nobody."""
    user = _user(args[2], context)
    if user is None:
        return encode(None, protocol)
    first, *others = map(describe_selector, user.selectors)
    return encode(
        {
            "flags": Set(["on" if user.enabled else "off", *(["nopass"] if user.no_password else [])]),
            "passwords": [known.reveal() for known in user.hashes],
            **_selector(first),
            "selectors": [_selector(other) for other in others],
        },
        protocol,
    )


def cat(args: list[bytes], protocol: int, _context: AnswerContext) -> bytes:
    """ACL CAT [category]"""
    if len(args) == 2:
        return encode(list(CATEGORIES), protocol)
    _at_most(args, 3)
    rows = CATEGORIES.get(args[2].lower().decode("latin-1"))
    if rows is None:
        raise ReplyError("acl_category", option=args[2])
    return encode([row.name for row in rows], protocol)


def dryrun(args: list[bytes], protocol: int, context: AnswerContext) -> bytes:
    """ACL DRYRUN name command [arg ...]: OK, or what stands against it. A refusal is no error here."""
    user = _user(args[2], context)
    if user is None:
        raise ReplyError("acl_user", option=args[2])
    request = args[3:]
    command = find(request)
    if command is None or (command.subcommands and len(request) > 1):
        raise ReplyError("acl_command", option=request[0])
    if not command.arity_allows(len(request)):
        raise ReplyError("wrong_arity", command=command.name)
    denial, position = permitted(user, command, request)
    if denial is Denial.NONE:
        return encode(Simple("OK"), protocol)
    return encode(b"This user has no permissions to " + _what(denial, command, request[position]), protocol)


def _what(denial: Denial, command: Command, argument: bytes) -> bytes:
    if denial is Denial.KEY:
        return b"access the '%b' key" % argument
    if denial is Denial.CHANNEL:
        return b"access the '%b' channel" % argument
    return b"run the '%b' command" % command.name.encode()


def genpass(args: list[bytes], protocol: int, _context: AnswerContext) -> bytes:
    """ACL GENPASS [bits]: hexadecimal digits, four bits each."""
    bits = 256
    if len(args) > 2:
        _at_most(args, 3)
        bits = _integer(args[2])
        if not 0 < bits <= _MOST_BITS:
            raise ReplyError("acl_bits", limit=_MOST_BITS)
    digits = (bits + 3) // 4
    return encode(secrets.token_hex((digits + 1) // 2)[:digits], protocol)


def log(args: list[bytes], protocol: int, context: AnswerContext) -> bytes:
    """ACL LOG [count | RESET]"""
    most = _SHOWN
    if len(args) > 2:
        _at_most(args, 3)
        if args[2].lower() == b"reset":
            context.denials.reset(context.pool)
            return encode(Simple("OK"), protocol)
        most = _integer(args[2])
    return encode(
        [
            {
                "count": entry.count,
                "reason": entry.reason,
                "context": entry.context,
                "object": entry.object,
                "username": entry.username,
                "age-seconds": round(max(context.now - entry.updated, 0.0), 3),
                "client-info": entry.client,
                "entry-id": entry.number,
                "timestamp-created": int(entry.created * 1000),
                "timestamp-last-updated": int(entry.updated * 1000),
            }
            for entry in context.denials.latest(context.pool, most)
        ],
        protocol,
    )


def _user(name: bytes, context: AnswerContext) -> User | None:
    return next((user for user in context.users if user.name.encode() == name), None)


def _selector(text: SelectorText) -> dict[str, object]:
    return {"commands": text.commands, "keys": text.keys, "channels": text.channels}


def _at_most(args: list[bytes], count: int) -> None:
    if len(args) > count:
        raise ReplyError("subcommand_arity", arguments=args[1], command=args[0].upper())


def _integer(text: bytes) -> int:
    try:
        number = int(text)
    except ValueError:
        raise ReplyError("not_an_integer") from None
    if b"_" in text or text.strip() != text or not -(1 << 63) <= number < 1 << 63:
        raise ReplyError("not_an_integer")
    return number
