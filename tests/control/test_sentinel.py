"""What is made of what sentinels say; real ones are followed in tests/system/test_failover.py."""

from __future__ import annotations

import hiredis
import pytest
import trio

from proxy.address import Server
from proxy.control.sentinel import Sentinel
from proxy.settings import Listen, Pool

OLD, NEW = ("10.0.0.1", "6379"), ("fd00::2", "6380")


class Leader:
    """A sentinel that leads a failover, as Redis 7.0.15 answers.

    From the promotion on, MASTER has the new epoch with the old address until all replicas are repointed, and only
    GET-MASTER-ADDR-BY-NAME the new one.
    """

    def __init__(self) -> None:
        self.epoch, self.address, self.current = 0, OLD, OLD
        self.again = trio.Event()

    async def serve(self, stream: trio.SocketStream) -> None:
        reader = hiredis.Reader(encoding="utf-8")
        async for data in stream:
            reader.feed(bytes(data))
            while (words := reader.gets()) is not False:
                await stream.send_all(self.answer([word.upper() for word in words]))

    def answer(self, words: list[str]) -> bytes:
        match words[1]:
            case "MASTER":
                self.again.set()
                self.again = trio.Event()
                return array("ip", self.address[0], "port", self.address[1], "config-epoch", str(self.epoch))
            case "GET-MASTER-ADDR-BY-NAME":
                return array(*self.current)
            case "SENTINELS":
                return array()
            case channel:
                return array("subscribe", channel, "1")


def array(*words: str) -> bytes:
    return b"*%d\r\n" % len(words) + b"".join(b"$%d\r\n%b\r\n" % (len(word), word.encode()) for word in words)


async def test_a_master_is_the_new_one_from_its_epoch_on(
    nursery: trio.Nursery, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("proxy.control.sentinel.EVERY", 0.05)
    leader, told = Leader(), []
    (listener,) = await trio.open_tcp_listeners(0, host="127.0.0.1")
    nursery.start_soon(trio.serve_listeners, leader.serve, [listener])
    here = Server(f"127.0.0.1:{listener.socket.getsockname()[1]}")

    async def on_told(name: str, address: str, why: str) -> None:
        told.append((name, address))

    pool = Pool(name="p", listen=Listen("127.0.0.1"), servers=(here,), sentinels=(here,))
    nursery.start_soon(Sentinel(pool, ["m"], on_told).run)
    for step in ("quiet", "promoted", "switched"):
        if step != "quiet":
            leader.epoch, leader.current = 1, NEW
        if step == "switched":
            leader.address = NEW
        with trio.fail_after(10):
            for _ in range(2):  # the second question is put when the answer to the first is known
                await leader.again.wait()
        assert told == [("m", "10.0.0.1:6379"), ("m", "[fd00::2]:6380")][: 1 if step == "quiet" else 2]
    nursery.cancel_scope.cancel()
