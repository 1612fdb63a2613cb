"""`python -m storenode`: a storage node without the `quench` command."""

import argparse
import sys
from collections.abc import Iterable

from storenode.server import run

UNITS = {"": 1, "b": 1, "k": 1000, "kb": 1 << 10, "m": 1000**2, "mb": 1 << 20, "g": 1000**3, "gb": 1 << 30}


def parse_size(text: str) -> int:
    """`256mb` -> bytes, with the units of redis.conf. Raises ValueError."""
    number = text.rstrip("bBkKmMgG")
    unit = text[len(number) :].lower()
    if not (number.isascii() and number.isdigit()) or unit not in UNITS:
        raise ValueError(f"not a size: {text!r}; write bytes or a number with a unit such as 256mb or 1gb")
    return int(number) * UNITS[unit]


def parse_address(text: str) -> tuple[str, int]:
    """`host:port`, `[::1]:port` or `:port` -> (host, port). Raises ValueError."""
    host, colon, port = text.rpartition(":")
    if not colon or not (port.isascii() and port.isdigit()) or int(port) > 65535:
        raise ValueError(f"not an address: {text!r}; write HOST:PORT")
    return host.removeprefix("[").removesuffix("]"), int(port)


def parse_pairs(option: str, texts: Iterable[str]) -> dict[str, str]:
    """`["name=value", …]`, as an option was given them -> {name: value}. Raises ValueError."""
    pairs = {}
    for text in texts:
        name, equals, value = text.partition("=")
        if not equals or not name:
            raise ValueError(f"{option}: not two words: {text!r}; write NAME=VALUE")
        pairs[name.lower()] = value
    return pairs


def main(argv: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(prog="storenode", description="A storage node of Quench.")
    parser.add_argument("--listen", default="127.0.0.1:6379", metavar="HOST:PORT", help="port 0 takes a free one")
    parser.add_argument("--maxmemory", default="256mb", metavar="SIZE", help="of keys and values; 0 for no limit")
    parser.add_argument("--password", help="clients must AUTH with it")
    parser.add_argument("--aclfile", metavar="PATH", help="users, a line each as ACL LIST shows them")
    parser.add_argument("--deny", action="append", default=[], metavar="COMMAND", help="have none such; repeatable")
    parser.add_argument(
        "--rename", action="append", default=[], metavar="COMMAND=NAME", help="clients call it so; may be repeated"
    )
    parser.add_argument("--dir", metavar="FOLDER", help="where snapshots and the log are kept, and loaded from")
    parser.add_argument("--save", metavar="'SECONDS CHANGES …'", help="when to write a snapshot, and at the end")
    parser.add_argument("--appendonly", choices=("yes", "no"), help="keep a log of all writes")
    parser.add_argument("--appendfsync", choices=("always", "everysec", "no"), help="when the log is surely on disk")
    parser.add_argument(
        "--set", action="append", default=[], metavar="NAME=VALUE", help="any parameter of CONFIG SET; may be repeated"
    )
    arguments = parser.parse_args(argv)
    try:
        host, port = parse_address(arguments.listen)
        maxmemory = parse_size(arguments.maxmemory)
        parameters = parse_pairs("--set", arguments.set)
        rename = parse_pairs("--rename", arguments.rename)
    except ValueError as error:
        parser.error(str(error))
    for name in ("dir", "save", "appendonly", "appendfsync"):
        if getattr(arguments, name) is not None:
            parameters[name] = getattr(arguments, name)
    try:
        return run(
            host,
            port,
            maxmemory,
            arguments.password,
            aclfile=arguments.aclfile,
            deny=arguments.deny,
            rename=rename,
            on_ready=lambda host, port: print(f"storenode: ready on {host}:{port}", flush=True),
            parameters=parameters,
        )
    except OSError as error:
        print(f"storenode: {error.strerror or error}", file=sys.stderr)
        return 1


if __name__ == "__main__":
    sys.exit(main())
