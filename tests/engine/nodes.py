"""Storage nodes that keep what they are told, on the clock of a test: for engines without sockets that share them."""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass, field

from proxy.engine.probe import Probe
from tests.helpers import bulk
from tests.oracle import resp

Name = tuple[int, int, int, int]


@dataclass
class Store:
    """One node: strings by (database, key), each with the time at which it ends, and all that was ever asked."""

    values: dict[tuple[int, bytes], tuple[bytes, int | None]] = field(default_factory=dict)
    seen: list[list[bytes]] = field(default_factory=list)
    down: bool = False
    takes: int | None = None  #: tombstones, before the connection of the next one stalls; None: any number

    def stalls(self, args: list[bytes]) -> bool:
        """Is this not executed now?"""
        if self.down or (self.takes == 0 and args[2:3] == [b"-"]):
            return True
        if self.takes and args[2:3] == [b"-"]:
            self.takes -= 1
        return False

    def get(self, key: bytes, now: int, database: int = 0) -> bytes | None:
        value, end = self.values.get((database, key), (None, None))
        return None if end is not None and end <= now else value

    def serve(self, args: list[bytes], now: int, protocol: int, database: int) -> bytes:
        """The reply to a request; times are in microseconds."""
        self.seen.append(args)
        name, key = args[0].upper(), args[1]
        place = database, key
        held = self.get(key, now, database)
        nil = b"_\r\n" if protocol == 3 else b"$-1\r\n"
        if name == b"GET":
            return nil if held is None else bulk(held)
        if name == b"STRLEN":
            return b":%d\r\n" % len(held or b"")
        if name == b"PTTL":
            end = self.values[place][1] if held is not None else 0
            return b":-2\r\n" if held is None else b":-1\r\n" if end is None else b":%d\r\n" % ((end - now) // 1000)
        if name == b"DEL":
            return b":%d\r\n" % sum(self.values.pop((database, key), None) is not None for key in args[1:])
        if name == b"MSET":
            for key, value in zip(args[1::2], args[2::2], strict=True):
                self.values[database, key] = value, None
            return b"+OK\r\n"
        assert name == b"SET", args
        options = [word.upper() for word in args[3:]]
        if b"NX" in options and held is not None:
            return nil
        end = now + 1000 * int(options[options.index(b"PX") + 1]) if b"PX" in options else None
        assert end is None or end > now, args
        self.values[place] = args[2], end
        return b"+OK\r\n"


class Wire:
    """The connections of one engine to the stores: requests on their way there, replies on their way back."""

    def __init__(self, engine: Probe, stores: list[Store]) -> None:
        self.engine, self.stores = engine, stores
        self.requests: dict[Name, deque[list[bytes]]] = {}
        self.replies: dict[Name, deque[bytes]] = {}
        self._partial: dict[Name, bytes] = {}
        self._queued: dict[Name, list[list[bytes]]] = {}

    @property
    def names(self) -> list[Name]:
        return [(node, protocol, 0, 0) for node in range(len(self.stores)) for protocol in (2, 3)]

    def collect(self) -> None:
        """What the engine has queued is given to the kernel."""
        for name in self.names:
            data = self._partial.pop(name, b"") + self.engine.sent(name)
            framing = resp.frame_requests(data)
            assert framing.error is None
            if framing.left:
                self._partial[name] = data[len(data) - framing.left :]
            self.requests.setdefault(name, deque()).extend(framing.items)
            self.replies.setdefault(name, deque())

    def execute(self, name: Name, now: int, most: int = 1 << 30) -> int:
        """The node takes up to `most` requests of a connection."""
        waiting = self.requests.get(name, deque())
        done = 0
        while waiting and done < most and not self.stores[name[0]].stalls(waiting[0]):
            self.replies[name].append(self._reply(name, waiting.popleft(), now))
            done += 1
        return done

    def _reply(self, name: Name, args: list[bytes], now: int) -> bytes:
        store = self.stores[name[0]]
        if args == [b"MULTI"]:
            self._queued[name] = []
            return b"+OK\r\n"
        if args == [b"EXEC"]:
            replies = [store.serve(queued, now, name[1], name[2]) for queued in self._queued.pop(name)]
            return b"*%d\r\n" % len(replies) + b"".join(replies)
        if name in self._queued:
            self._queued[name].append(args)
            return b"+QUEUED\r\n"
        return store.serve(args, now, name[1], name[2])

    def deliver(self, name: Name, most: int = 1 << 30) -> int:
        """Up to `most` replies of a connection arrive."""
        waiting = self.replies.get(name, deque())
        done = 0
        while waiting and done < most:
            self.engine.answer(name, waiting.popleft())
            done += 1
        return done

    def settle(self, now: int) -> None:
        """Until nothing is on its way any more."""
        for _ in range(100):
            self.engine.turn()
            self.collect()
            if sum([self.execute(name, now) + self.deliver(name) for name in self.names]) == 0:
                return
        raise AssertionError("it never ends")
