"""Before a fork the heap is folded into huge pages; what is saved is right, and the process has not grown."""

import mmap
from pathlib import Path

import pytest

from tests.store.disk import client, node_in, wait_for

COLLAPSE = 25  # MADV_COLLAPSE
HUGE = 2 << 20
VALUES = 1000


def can_fold() -> bool:
    """Has this kernel MADV_COLLAPSE, and is it willing?"""
    with mmap.mmap(-1, 2 * HUGE, flags=mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS) as memory:
        memory.write(b"x" * (2 * HUGE))
        try:
            memory.madvise(COLLAPSE, 0, 2 * HUGE)
        except OSError:
            return False
        return True


def kib(pid: int, name: str) -> int:
    for line in Path(f"/proc/{pid}/smaps_rollup").read_text().splitlines():
        if line.startswith(name):
            return int(line.split()[1])
    raise KeyError(name)


@pytest.mark.skipif(not can_fold(), reason="this kernel does not fold memory into huge pages")
def test_a_fork_finds_huge_pages(tmp_path: Path) -> None:
    with node_in(tmp_path) as server, client(server) as link:
        pipe = link.pipeline(transaction=False)
        for number in range(VALUES):
            pipe.set(f"key{number}", bytes([number % 256]) * 60_000)
        pipe.execute()
        before = kib(server.process.pid, "Rss:")  # 60 MB of values, and the interpreter
        for round in range(2):
            assert link.bgsave()
            assert link.info("persistence")["rdb_bgsave_in_progress"] == 1
            with pytest.raises(Exception, match="already in progress"):
                link.bgsave()
            link.set("during", round)
            wait_for(link, "rdb_bgsave_in_progress", 0)
            assert link.info("stats")["total_forks"] == round + 1
            assert link.lastsave()
        assert kib(server.process.pid, "AnonHugePages:") > 40_000
        assert kib(server.process.pid, "Rss:") < before * 1.1
        # While a child had the pages, each write copied one and split a huge one: nothing is lost by either.
        assert link.execute_command("DEBUG", "RELOAD", "NOSAVE") == b"OK"
        assert link.dbsize() in (VALUES, VALUES + 1)
        assert link.get("key999") == bytes([999 % 256]) * 60_000
