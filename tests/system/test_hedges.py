"""Hedged reads, through connections that stand still for a moment now and then."""

from __future__ import annotations

import threading
import time
from pathlib import Path

import pytest

from tests.proof.pipe import Pipes
from tests.redis_server import needs_redis_server
from tests.system.tier import Proxy, running_nodes, until

pytestmark = needs_redis_server

STALL, EVERY = 0.1, 1.0  # seconds: for how long, and how often, each connection stands still
CLIENTS, SECONDS = 4, 6.0


class Reader(threading.Thread):
    """Reads one key after the other and notes how long each took, in seconds."""

    def __init__(self, proxy: Proxy, number: int) -> None:
        super().__init__()
        self.proxy, self.number = proxy, number
        self.took: list[float] = []
        self.wrong = 0

    def run(self) -> None:
        with self.proxy.link() as link:
            until_then = time.monotonic() + SECONDS
            turn = self.number
            while (began := time.monotonic()) < until_then:
                turn += 7
                self.wrong += link("GET", f"k{turn % 100}") != str(turn % 100).encode()
                self.took.append(time.monotonic() - began)
                time.sleep(0.002)


def stats(proxy: Proxy) -> dict[str, int]:
    text = proxy("INFO", "stats").decode()
    found = dict(line.split(":", 1) for line in text.splitlines() if ":" in line)
    return {name: int(found[name]) for name in ("hedges", "hedges_won", "replica_reads", "timed_out_requests")}


@pytest.mark.parametrize("hedge", [False, True])
def test_a_stall_of_one_connection_is_nobodys_wait(
    tmp_path_factory: pytest.TempPathFactory, tmp_path: Path, hedge: bool
) -> None:
    """Without hedges some reads wait out a stall; with them none does, and few more requests are sent. The bounds leave
    room for a machine that is busy: what is judged is how many reads take as long as a stall."""
    with running_nodes(tmp_path_factory.mktemp("nodes"), 2) as [primary, replica]:
        replica("REPLICAOF", "127.0.0.1", primary.port)
        pipes = Pipes()
        pipes.start()
        there, other = pipes.add("n0", primary.port), pipes.add("n1", replica.port)
        options = "hot_keys: {enabled: false}\ntimeout: 5s\n" + "hedge: {after: 20ms, budget: 10%}" * hedge
        server = f"{{address: '{there.server}', replicas: ['127.0.0.1:{other.port} n1']}}"
        proxy = Proxy(tmp_path, [server], options)
        ended = threading.Event()

        def stall() -> None:
            while not ended.wait(EVERY / 2):
                for pipe in (there, other):
                    pipes.stand(pipe, True)
                    ended.wait(STALL)
                    pipes.stand(pipe, False)
                    ended.wait(EVERY / 2 - STALL)

        staller = threading.Thread(target=stall)
        try:
            for number in range(100):
                assert proxy("SET", f"k{number}", number) == b"OK"
            until(lambda: replica("DBSIZE") == 100, "the replica has all")
            proxy.log.wait_for(r"replica\.readable")
            readers = [Reader(proxy, number) for number in range(CLIENTS)]
            staller.start()
            for reader in readers:
                reader.start()
            for reader in readers:
                reader.join()
        finally:
            ended.set()
            staller.join()
            found = stats(proxy)
            proxy.stop()
            pipes.stop()
    took = [one for reader in readers for one in reader.took]
    slow = sum(one > 0.7 * STALL for one in took)
    assert not any(reader.wrong for reader in readers)
    assert found["timed_out_requests"] == 0
    if hedge:
        assert slow <= 2, sorted(took)[-20:]
        assert 0 < found["hedges_won"] <= found["hedges"] <= 0.1 * len(took) + 16
    else:
        assert slow >= CLIENTS * (SECONDS / (2 * EVERY) - 2) and found["hedges"] == 0
