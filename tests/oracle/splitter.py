"""The naive twin of the engine's split commands: MGET, MSET and the sums, cut by node and put together again."""

from collections.abc import Callable

from tests.helpers import request

WIDTH = {"MSET": 2}    # arguments of one item; every other split command has one


def items(args: list[bytes]) -> list[list[bytes]]:
    width = WIDTH.get(args[0].decode().upper(), 1)
    return [args[at : at + width] for at in range(1, len(args), width)]


def split(args: list[bytes], node_of: Callable[[bytes], int]) -> dict[int, bytes]:
    """The sub-request of each node, the nodes in the order in which they first occur."""
    parts: dict[int, list[bytes]] = {}
    for item in items(args):
        parts.setdefault(node_of(item[0]), [args[0]]).extend(item)
    return {node: request(*part) for node, part in parts.items()}


def merge(
    args: list[bytes], node_of: Callable[[bytes], int], replies: dict[int, bytes | list[bytes] | int],
    protocol: int = 2, nil_on_error: bool = False,
) -> bytes:
    """One reply from those of the nodes, in the order they came: bytes are an error, lists the elements of an MGET."""
    name = args[0].decode().upper()
    errors = [reply for reply in replies.values() if isinstance(reply, bytes)]
    if errors and not (name == "MGET" and nil_on_error):
        return errors[0]
    if name == "MSET":
        return b"+OK\r\n"
    if name != "MGET":
        return b":%d\r\n" % sum(reply for reply in replies.values() if isinstance(reply, int))
    nil = b"_\r\n" if protocol == 3 else b"$-1\r\n"
    left = {node: list(reply) if isinstance(reply, list) else [] for node, reply in replies.items()}
    found = []
    for item in items(args):
        elements = left[node_of(item[0])]
        found.append(elements.pop(0) if elements else nil)
    return b"*%d\r\n" % len(found) + b"".join(found)
