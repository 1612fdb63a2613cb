"""The way in: from a request of the CONTROL lane to its reply.

The engine has looked the request up, checked arity and rights, and holds the client behind a barrier until the reply
is there. The same checks are made here, as the slow lane's own requests (a transaction's, say) come without them.
"""

from __future__ import annotations

from collections.abc import Callable

from proxy.commands import Lane, find, refusal
from proxy.control.answers import acl, client, command, config, identity, information
from proxy.control.answers.context import AnswerContext
from proxy.control.answers.help import help_
from proxy.errors import ReplyError, subcommand_error, unknown_command

__all__ = ["answer"]

Handler = Callable[[list[bytes], int, AnswerContext], bytes]

_HANDLERS: dict[str, Handler] = {
    "acl|cat": acl.cat,
    "acl|dryrun": acl.dryrun,
    "acl|genpass": acl.genpass,
    "acl|getuser": acl.getuser,
    "acl|list": acl.list_,
    "acl|log": acl.log,
    "acl|users": acl.users,
    "client|info": client.info,
    "client|list": client.list_,
    "command": command.all_rows,
    "command|count": command.count,
    "command|docs": command.docs,
    "command|getkeys": command.getkeys,
    "command|getkeysandflags": command.getkeysandflags,
    "command|info": command.info,
    "command|list": command.list_,
    "config|get": config.get,
    "info": information.info,
    "lolwut": identity.lolwut,
    "module|list": identity.modules,
    "role": identity.role,
}


def answer(args: list[bytes], protocol: int, context: AnswerContext) -> bytes:
    """The reply to one request, in ``protocol`` 2 or 3. An error is a reply like any other.

    Raises:
        ValueError: if the request is not the control plane's to answer: a mistake of the caller.
    """
    try:
        row = find(args)
        if row is None:
            raise unknown_command(args)
        if row.subcommands and len(args) > 1:
            raise subcommand_error(args)
        if not row.arity_allows(len(args)):
            raise ReplyError("wrong_arity", command=row.name)
        if row.lane in (Lane.LATER, Lane.REFUSED):
            raise refusal(row)
        if row.name.endswith("|help") and row.lane is Lane.CONTROL:
            return help_(args, protocol)
        handler = _HANDLERS.get(row.name)
        if handler is None:
            raise ValueError(f"{row.name} is served by lane {row.lane.name}")
        return handler(args, protocol, context)
    except ReplyError as error:
        return error.reply
