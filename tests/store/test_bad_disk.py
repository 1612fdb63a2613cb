"""Disks that break: a sync that fails, no room for a new base of the log, none for the file of users.

A disk that is full is a limit on the size of files; one that breaks is a library loaded in front of the C library's.
"""

import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
import redis

from tests.store.conftest import Server, start_node
from tests.store.disk import client, increments, kill, library_of, limit_files, node_in, state_of, wait_for
from tests.store.raw import request

ON = ("--appendonly", "yes")

BREAKING = r"""
#include <errno.h>
#include <stdlib.h>
#include <unistd.h>

static int broken(void) {
    return access(getenv("BROKEN_DISK"), F_OK) == 0 && (errno = EIO);
}

int fsync(int fd) {
    int (*real)(int) = NEXT(fsync);
    return broken() ? -1 : real(fd);
}

int fdatasync(int fd) {
    int (*real)(int) = NEXT(fdatasync);
    return broken() ? -1 : real(fd);
}
"""


@pytest.fixture(scope="module")
def library(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """fsync() and fdatasync() that fail with EIO while the file that BROKEN_DISK names is there."""
    return library_of(BREAKING, tmp_path_factory.mktemp("library"))


class Disk:
    """A node's, which can be broken and mended."""

    def __init__(self, flag: Path) -> None:
        self._flag = flag

    def breaks(self) -> None:
        self._flag.touch()

    def mends(self) -> None:
        self._flag.unlink()


@contextmanager
def breakable(library: Path, folder: Path, *options: str) -> Iterator[tuple[Server, Disk]]:
    flag = folder / "broken"

    def load() -> None:
        os.environ.update(LD_PRELOAD=str(library), BROKEN_DISK=str(flag))

    data = folder / "data"
    data.mkdir(exist_ok=True)
    server = start_node("--maxmemory", "0", "--dir", str(data), *options, before=load)
    try:
        yield server, Disk(flag)
    finally:
        kill(server)


def test_what_was_not_synced_is_not_acknowledged(library: Path, tmp_path: Path) -> None:
    """`always`: whoever waits for the disk in that turn gets an error, then writes are refused; a new log ends it."""
    with breakable(library, tmp_path, *ON, "--appendfsync", "always") as (server, disk), client(server) as link:
        assert link.set("before", "1")
        disk.breaks()
        with pytest.raises(redis.ResponseError, match="MISCONF Errors writing to the AOF file: Input/output error"):
            link.set("during", "1")
        with server.connect() as several:  # they cannot know which of theirs are on disk
            several.send(request("get", "before") + request("set", "a", 1) + request("set", "b", 2))
            assert several.reply() == b"$1\r\n1\r\n"
            assert several.reply().startswith(b"-MISCONF")
        assert link.get("before") == b"1"
        assert link.info("persistence")["aof_last_write_status"] == "err"
        disk.mends()
        wait_for(link, "aof_last_write_status", "ok")
        assert link.set("after", "1")
        kept = state_of(link)
    assert {b"before", b"after"} <= set(kept)
    with node_in(tmp_path / "data", *ON) as server, client(server) as link:
        assert state_of(link) == kept


def test_a_sync_in_the_background_that_fails(library: Path, tmp_path: Path) -> None:
    """`everysec`: the write was acknowledged before, so all that is left is to take no more."""
    with breakable(library, tmp_path, *ON, "--appendfsync", "everysec") as (server, disk), client(server) as link:
        disk.breaks()
        assert link.set("key", "1")
        wait_for(link, "aof_last_write_status", "err")
        with pytest.raises(redis.ResponseError, match="MISCONF"):
            link.set("refused", "1")
        assert link.get("key") == b"1"
    with node_in(tmp_path / "data", *ON) as server, client(server) as link:
        assert link.mget("key", "refused") == [b"1", None]


def test_waitaof_does_not_take_a_failed_sync_for_one(library: Path, tmp_path: Path) -> None:
    with breakable(library, tmp_path, *ON, "--appendfsync", "everysec") as (server, disk), client(server) as link:
        link.set("key", "1")
        assert link.execute_command("WAITAOF", 1, 0, 0) == [1, 0]
        disk.breaks()
        link.set("key", "2")
        assert link.execute_command("WAITAOF", 1, 0, 2500) == [0, 0]
        assert link.info("persistence")["aof_last_write_status"] == "err"
        disk.mends()
        link.bgrewriteaof()  # the new base has it, once that is there
        assert link.execute_command("WAITAOF", 1, 0, 0) == [1, 0]
    with node_in(tmp_path / "data", *ON) as server, client(server) as link:
        assert link.get("key") == b"2"


def test_a_snapshot_that_is_not_on_disk_is_none(library: Path, tmp_path: Path) -> None:
    with breakable(library, tmp_path, "--save", "3600 1000000") as (server, disk), client(server) as link:
        link.set("key", "1")
        assert link.save()
        link.set("key", "2")
        disk.breaks()
        with pytest.raises(redis.ResponseError):
            link.save()
        link.bgsave()
        wait_for(link, "rdb_bgsave_in_progress", 0)
        assert link.info("persistence")["rdb_last_bgsave_status"] == "err"
    with node_in(tmp_path / "data", "--save", "3600 1000000") as server, client(server) as link:
        assert link.get("key") == b"1"
    assert [path.name for path in (tmp_path / "data").iterdir()] == ["dump.rdb"]


def test_a_log_that_cannot_be_rewritten_goes_on(tmp_path: Path) -> None:
    """There is room for what is appended, and none for a new base."""
    with node_in(tmp_path, *ON, "--appendfsync", "always") as server, client(server) as link:
        for number in range(200):
            link.set(f"key{number}", os.urandom(200))
        (before,) = increments(tmp_path)
        limit_files(server, before.stat().st_size + 30_000)
        link.bgrewriteaof()
        wait_for(link, "aof_rewrite_in_progress", 0)
        assert link.info("persistence")["aof_last_bgrewrite_status"] == "ok"
        for number in range(100):
            link.set(f"more{number}", os.urandom(200))
        limit_files(server, 40_000)  # the newest file of commands is still smaller
        link.bgrewriteaof()
        wait_for(link, "aof_last_bgrewrite_status", "err")
        assert link.set("last", "1")
        assert not list(tmp_path.rglob("*temp*"))
        kept = state_of(link)
        kill(server)
    assert len(kept) == 301
    with node_in(tmp_path, *ON) as server, client(server) as link:
        assert state_of(link) == kept
        link.bgrewriteaof()
        wait_for(link, "aof_rewrite_in_progress", 0)
        assert state_of(link) == kept


def test_users_that_cannot_be_saved(tmp_path: Path) -> None:
    """The file is the old one, whole."""
    path = tmp_path / "users.acl"
    path.write_text("user default on nopass ~* &* +@all\n")
    with node_in(tmp_path, "--aclfile", str(path)) as server, server.connect() as connection:
        connection("acl", "setuser", "other", "on", ">secret", "~*", "+get")
        assert connection("acl", "save") == b"+OK\r\n"
        saved = path.read_bytes()
        for number in range(50):
            connection("acl", "setuser", f"user{number}", "on", ">secret", "~*", "+get")
        limit_files(server, 1000)
        assert connection("acl", "save").startswith(b"-ERR There was an error trying to save the ACLs")
        assert path.read_bytes() == saved
        assert [each.name for each in tmp_path.iterdir()] == [path.name]
        limit_files(server, None)
        assert connection("acl", "save") == b"+OK\r\n"
        assert path.read_bytes().count(b"\n") == 52
