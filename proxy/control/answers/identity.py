"""What the proxy says it is: ROLE, MODULE LIST and LOLWUT."""

from __future__ import annotations

from proxy.control.answers.context import AnswerContext
from proxy.control.reply import Verbatim, encode

__all__ = ["lolwut", "modules", "role"]

_PICTURE = r"""
        .
       / \        clients
      /   \      \ | | | /
     /     \    ( quench  )
    |  ~~~  |    / | | | \
     \ ~~~ /     0 1 2 3 4
      '---'         nodes
"""


def role(_args: list[bytes], protocol: int, _context: AnswerContext) -> bytes:
    """ROLE: a primary without replicas, which is what the proxy is to its clients."""
    return encode(["master", 0, []], protocol)


def modules(_args: list[bytes], protocol: int, _context: AnswerContext) -> bytes:
    """MODULE LIST: none; a command of a node's module is unknown here."""
    return encode([], protocol)


def lolwut(_args: list[bytes], protocol: int, context: AnswerContext) -> bytes:
    """LOLWUT [VERSION n ...]: one picture, whatever the arguments."""
    return encode(Verbatim(f"{_PICTURE}\nQuench ver. {context.statistics.version}\n"), protocol)
