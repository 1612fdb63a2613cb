"""The load generator: what to send, to whom and how fast; the command line, and the result.

    python -m bench.load --port 6380 --clients 50 --depth 64 --seconds 3 --op get:0.9,set:0.1 --zipf 1.0

`bench.generator` does the work; this module prepares the request texts and reads the counters.
"""

from __future__ import annotations

import argparse
import contextlib
import json
import re
import sys
import threading
import time
from array import array
from collections.abc import Iterator
from dataclasses import asdict, dataclass, field
from typing import Any

from bench.build import ensure_built

ensure_built()

from bench.generator import Generator  # noqa: E402
from bench.sampler import KeySampler  # noqa: E402


@dataclass(frozen=True)
class Op:
    """One kind of request: COMMAND <before> key <after> [value], the key and the value carrying a number.

    reply: numbered as in generator.pxd. many: as many keys, each with its value, as the load says. prefix: of the key,
    if not that of the load's key format; elements: of an array reply.
    """

    command: bytes
    reply: int
    has_value: bool = False
    many: bool = False
    prefix: bytes | None = None
    before: tuple[bytes, ...] = ()
    after: tuple[bytes, ...] = ()
    elements: int = 1


TEN = tuple(word for number in range(10) for word in (b"%d" % number, b"member:%d" % number))

OPS = {
    "get": Op(b"GET", 1),
    "set": Op(b"SET", 0, has_value=True),
    "incr": Op(b"INCR", 2),
    "mget": Op(b"MGET", 3, many=True),
    "mset": Op(b"MSET", 0, has_value=True, many=True),
    "hset": Op(b"HSET", 2, has_value=True, prefix=b"hash:", after=(b"field",)),
    "hget": Op(b"HGET", 1, prefix=b"hash:", after=(b"field",)),
    "lpush": Op(b"LPUSH", 2, has_value=True, prefix=b"list:"),
    "lpush-forty": Op(b"LPUSH", 2, prefix=b"list:", after=(b"item",) * 40),
    "rpop": Op(b"RPOP", 1, prefix=b"list:"),
    "sadd": Op(b"SADD", 2, prefix=b"member:", before=(b"set",)),
    "zadd": Op(b"ZADD", 2, has_value=True, prefix=b"", before=(b"ranking",)),
    "zadd-ten": Op(b"ZADD", 2, prefix=b"board:", after=TEN),
    "zrange": Op(b"ZRANGE", 3, prefix=b"board:", after=(b"0", b"9"), elements=10),
    "count": Op(b"INCR", 2, prefix=b"counter:"),
    "count-life": Op(b"EXPIRE", 2, prefix=b"counter:", after=(b"3600",)),
}


@dataclass(frozen=True)
class Options:
    """What a load sends. `ops`: operation name to share; `value_size` in bytes; `many`: keys of one MGET or MSET;
    `tally`: count the requests of each key, see Load.tally(); `in_turn`: operations in turn, not by share."""

    addresses: tuple[tuple[str, int], ...]
    clients: int = 50
    depth: int = 1
    ops: dict[str, float] = field(default_factory=lambda: {"get": 1.0})
    keys: int = 100_000
    zipf: float = 0.0
    value_size: int = 64
    key_format: str = "key:%012d"
    many: int = 10
    check: bool = False
    sequential: bool = False
    tally: bool = False
    in_turn: bool = False
    seed: int = 1


@dataclass(frozen=True)
class Result:
    """One run. Latencies in µs from when a request was meant to be sent; `lost` ones are in them with their age."""

    requests: int
    seconds: float
    rate: float
    p50: float
    p90: float
    p99: float
    p999: float
    highest: float
    mean: float
    nils: int
    errors: int
    lost: int
    first_error: str
    generator_us: float
    """CPU of the generator per request."""


def request_row(name: str, share: float, options: Options) -> tuple[Any, ...]:
    """The generator's row of one operation: its whole request with zeros where a key's digits go, and where they go."""
    op = OPS[name]
    prefix, digits, suffix = split_key_format(options.key_format)
    if op.prefix is not None:
        prefix, suffix = op.prefix, b""
    key = b"%s%s%s" % (prefix, b"0" * digits, suffix)
    element = bulk(key)
    key_at = element.index(b"\n") + 1 + len(prefix)
    element += b"".join(map(bulk, op.after))
    value_at = -1
    if op.has_value:
        body = b"0" * digits if options.value_size >= digits else b""
        value = bulk(body + b"x" * (options.value_size - len(body)))
        value_at = len(element) + value.index(b"\n") + 1 if body else -1
        element += value
    count = options.many if op.many else 1
    words = 1 + len(op.before) + count * (1 + len(op.after) + op.has_value)
    head = b"*%d\r\n%s" % (words, b"".join(map(bulk, (op.command, *op.before))))
    elements = count if op.many else op.elements
    return share, head + element * count, len(head), len(element), key_at, value_at, count, elements, op.reply


def bulk(text: bytes) -> bytes:
    return b"$%d\r\n%s\r\n" % (len(text), text)


def split_key_format(text: str) -> tuple[bytes, int, bytes]:
    """`key:%012d` as (b"key:", 12, b""): prefix, digits and suffix. Raises ValueError for another form."""
    match = re.fullmatch(r"([^%]*)%0(\d+)d([^%]*)", text)
    if not match or not 1 <= int(match[2]) <= 20:
        raise ValueError(f"key format {text!r}: write one %0Nd with N from 1 to 20, as in key:%012d")
    return match[1].encode(), int(match[2]), match[3].encode()


class Load:
    """Open connections and a prepared load; `run` may be called again and again (warm up, then measure)."""

    def __init__(self, options: Options):
        total = sum(options.ops.values())
        unknown = set(options.ops) - set(OPS)
        if unknown or total <= 0:
            raise ValueError(f"operations {sorted(options.ops)}: use {', '.join(OPS)} with shares above zero")
        digits = split_key_format(options.key_format)[1]
        if len(str(options.keys - 1)) > digits:
            raise ValueError(f"{options.keys} keys do not fit into the {digits} digits of {options.key_format!r}")
        rows = [request_row(name, share / total, options) for name, share in options.ops.items()]
        self.options = options
        self.generator = Generator(
            options.addresses,
            options.clients,
            options.depth,
            rows,
            digits,
            KeySampler(options.keys, options.zipf, options.seed),
            options.sequential,
            options.check,
            options.tally,
            options.in_turn,
        )

    def run(
        self, seconds: float | None = None, requests: int | None = None, rate: float = 0.0, grace: float = 5.0
    ) -> Result:
        """Send for `seconds` or until `requests` are out; at `rate` a second in all (open loop), 0: as replies come.

        Then wait at most `grace` seconds for what is still owed. Raises OSError when a connection cannot be opened.
        """
        raw = self.generator.run(seconds, requests, rate, grace)
        histogram, answered = raw["histogram"], raw["answered"]
        p50, p90, p99, p999 = (histogram.quantile(share) / 1000 for share in (0.5, 0.9, 0.99, 0.999))
        return Result(
            requests=answered, seconds=raw["seconds"], rate=answered / raw["seconds"] if raw["seconds"] else 0.0,
            p50=p50, p90=p90, p99=p99, p999=p999, highest=histogram.highest / 1000, mean=histogram.mean / 1000,
            nils=raw["nils"], errors=raw["errors"], lost=raw["lost"], first_error=raw["first_error"],
            generator_us=raw["cpu_seconds"] * 1e6 / answered if answered else 0.0,
        )  # fmt: skip

    def tally(self, op: str) -> array[int]:
        """How often the last run asked for key 0, 1, 2 … by this operation. Raises ValueError without Options.tally."""
        counts: array[int] = self.generator.tally(list(self.options.ops).index(op))
        return counts

    def close(self) -> None:
        self.generator.close()

    def __enter__(self) -> Load:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()


def prefill(
    address: tuple[str, int],
    keys: int = 100_000,
    value_size: int = 64,
    key_format: str = "key:%012d",
    op: str = "set",
) -> Result:
    """SET every key once, or do another operation."""
    options = Options(
        (address,), clients=4, depth=64 if value_size < 4096 else 1, ops={op: 1.0}, keys=keys,
        value_size=value_size, key_format=key_format, sequential=True,
    )  # fmt: skip
    with Load(options) as load:
        return load.run(requests=keys)


@contextlib.contextmanager
def progress(load: Load, seconds: float | None, requests: int | None) -> Iterator[None]:
    """A bar on stderr while the body runs, if stderr is a terminal and rich is installed."""
    try:
        from rich.console import Console
        from rich.progress import Progress
    except ImportError:
        yield
        return
    if not sys.stderr.isatty():
        yield
        return
    stop, began = threading.Event(), time.monotonic()
    with Progress(console=Console(stderr=True), transient=True) as bar:
        task = bar.add_task("load", total=requests or seconds)

        def watch() -> None:
            while not stop.wait(0.1):
                done = load.generator.answered
                spent = time.monotonic() - began
                bar.update(task, completed=done if requests else spent, description=f"{done / spent:,.0f}/s")

        thread = threading.Thread(target=watch, daemon=True)
        thread.start()
        try:
            yield
        finally:
            stop.set()
            thread.join()


def parse_ops(text: str) -> dict[str, float]:
    """`get` or `get:0.9,set:0.1`."""
    return {name: float(share or 1) for name, _, share in (part.partition(":") for part in text.split(","))}


def parse_address(text: str) -> tuple[str, int]:
    host, _, port = text.rpartition(":")
    return host or "127.0.0.1", int(port)


def parser() -> argparse.ArgumentParser:
    out = argparse.ArgumentParser(prog="python -m bench.load", description="Pipelined RESP load with honest latency.")
    out.add_argument("--port", type=int, help="a port on 127.0.0.1")
    out.add_argument("--target", type=parse_address, action="append", default=[], metavar="HOST:PORT",
                     help="may be repeated: clients take them in turn")  # fmt: skip
    out.add_argument("--clients", type=int, default=50)
    out.add_argument("--depth", type=int, default=1, help="requests in flight on a connection")
    out.add_argument("--seconds", type=float, default=None, help="3, unless --requests is given")
    out.add_argument("--requests", type=int, default=None)
    out.add_argument("--rate", type=float, default=0.0, help="requests a second in all: open loop")
    out.add_argument("--op", type=parse_ops, default={"get": 1.0}, metavar="OP[:SHARE],…", help=", ".join(OPS))
    out.add_argument("--many", type=int, default=10, help="keys of one MGET or MSET")
    out.add_argument("--keys", type=int, default=100_000)
    out.add_argument("--zipf", type=float, default=0.0, help="skew; 0: uniform, 0.99: as YCSB")
    out.add_argument("--value-size", type=int, default=64)
    out.add_argument("--key-format", default="key:%012d")
    out.add_argument("--check", action="store_true", help="a GET must return what SET wrote")
    out.add_argument("--prefill", action="store_true", help="SET every key once first")
    out.add_argument("--warmup", type=float, default=0.2, metavar="SECONDS")
    out.add_argument("--seed", type=int, default=1)
    out.add_argument("--json", action="store_true")
    return out


def table(result: Result) -> str:
    lines = [
        f"{result.requests:,} requests in {result.seconds:.2f} s: {result.rate:,.0f}/s",
        f"latency µs   p50 {result.p50:,.1f}   p90 {result.p90:,.1f}   p99 {result.p99:,.1f}   "
        f"p99.9 {result.p999:,.1f}   max {result.highest:,.1f}   mean {result.mean:,.1f}",
        f"errors {result.errors}   lost {result.lost}   nils {result.nils}   "
        f"generator {result.generator_us:.3f} µs/request",
    ]
    return "\n".join(lines + ([f"first error: {result.first_error}"] if result.first_error else []))


def main(argv: list[str] | None = None) -> int:
    args = parser().parse_args(argv)
    addresses = [*args.target, *([("127.0.0.1", args.port)] if args.port else [])]
    if not addresses:
        parser().error("say where to: --port 6379 or --target host:port")
    seconds = 3.0 if args.seconds is None and args.requests is None else args.seconds
    options = Options(
        tuple(addresses), clients=args.clients, depth=args.depth, ops=args.op, keys=args.keys, zipf=args.zipf,
        value_size=args.value_size, key_format=args.key_format, many=args.many, check=args.check, seed=args.seed,
    )  # fmt: skip
    try:
        if args.prefill:
            prefill(addresses[0], args.keys, args.value_size, args.key_format)
        with Load(options) as load:
            if args.warmup > 0 and args.requests is None:
                load.run(seconds=args.warmup, rate=args.rate)
            with progress(load, seconds, args.requests):
                result = load.run(seconds, args.requests, args.rate)
    except (OSError, ValueError) as error:
        parser().error(f"{', '.join(f'{host}:{port}' for host, port in addresses)}: {error}")
    print(json.dumps(asdict(result), indent=2) if args.json else table(result))
    return 1 if result.errors or result.lost else 0


if __name__ == "__main__":
    sys.exit(main())
