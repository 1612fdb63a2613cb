"""appendfsync always: nothing is sent while a byte of the log is not on disk, a rewrite's change of files included."""

import os
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from tests.store.conftest import Server, start_node
from tests.store.disk import client, increments, kill, library_of, wait_for
from tests.store.raw import request

WATCHING = r"""
#include <fcntl.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>
#include <stdio.h>
#include <sys/socket.h>
#include <sys/uio.h>
#include <unistd.h>

static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
static long owed[1024]; /* bytes, by descriptor */

static int is_log(int fd) {
    char link[64], path[4096];
    snprintf(link, sizeof(link), "/proc/self/fd/%d", fd);
    ssize_t length = readlink(link, path, sizeof(path) - 1);
    if (length < 0 || fd >= 1024)
        return 0;
    path[length] = 0;
    return strstr(path, ".incr.aof") != NULL;
}

static void sending(void) {
    long total = 0;
    pthread_mutex_lock(&lock);
    for (int fd = 0; fd < 1024; fd++)
        total += owed[fd];
    pthread_mutex_unlock(&lock);
    if (total) {
        FILE* file = fopen(getenv("SENT_EARLY"), "a");
        fprintf(file, "%ld\n", total);
        fclose(file);
    }
}

ssize_t write(int fd, const void* data, size_t length) {
    ssize_t (*real)(int, const void*, size_t) = NEXT(write);
    ssize_t written = real(fd, data, length);
    if (written > 0 && is_log(fd)) {
        pthread_mutex_lock(&lock);
        owed[fd] += written;
        pthread_mutex_unlock(&lock);
    }
    return written;
}

int fdatasync(int fd) {
    int (*real)(int) = NEXT(fdatasync);
    pthread_mutex_lock(&lock);
    long covered = fd < 1024 ? owed[fd] : 0;
    pthread_mutex_unlock(&lock);
    int result = real(fd);
    pthread_mutex_lock(&lock);
    if (result == 0 && fd < 1024)
        owed[fd] -= covered;
    pthread_mutex_unlock(&lock);
    return result;
}

ssize_t send(int fd, const void* data, size_t length, int flags) {
    ssize_t (*real)(int, const void*, size_t, int) = NEXT(send);
    sending();
    return real(fd, data, length, flags);
}

ssize_t sendmsg(int fd, const struct msghdr* message, int flags) {
    ssize_t (*real)(int, const struct msghdr*, int) = NEXT(sendmsg);
    sending();
    return real(fd, message, flags);
}
"""


@pytest.fixture(scope="module")
def library(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Notes in the file that SENT_EARLY names whatever is sent while bytes written to the log are not synced."""
    return library_of(WATCHING, tmp_path_factory.mktemp("library"))


@contextmanager
def watched(library: Path, folder: Path, *options: str) -> Iterator[tuple[Server, Path]]:
    early = folder / "early"
    data = folder / "data"
    data.mkdir()

    def load() -> None:
        os.environ.update(LD_PRELOAD=str(library), SENT_EARLY=str(early))

    server = start_node("--maxmemory", "0", "--dir", str(data), *options, before=load)
    try:
        yield server, early
    finally:
        kill(server)


@contextmanager
def writers(server: Server, count: int) -> Iterator[None]:
    """Clients that write all the time, so that every turn has something for the log."""
    ending = threading.Event()

    def write(number: int) -> None:
        with server.connect() as connection:
            while not ending.is_set():
                connection.send(b"".join(request("incr", f"key{number}") for _ in range(5)))
                for _ in range(5):
                    assert connection.reply().startswith(b":")

    threads = [threading.Thread(target=write, args=(number,)) for number in range(count)]
    for thread in threads:
        thread.start()
    try:
        yield
    finally:
        ending.set()
        for thread in threads:
            thread.join()


def test_the_watcher_sees_what_is_sent_early(library: Path, tmp_path: Path) -> None:
    with watched(library, tmp_path, "--appendonly", "yes", "--appendfsync", "no") as (server, early):
        with client(server) as link:
            link.set("key", "1")
        assert early.exists()


def test_nothing_is_sent_before_it_is_on_disk(library: Path, tmp_path: Path) -> None:
    with watched(library, tmp_path, "--appendonly", "yes", "--appendfsync", "always") as (server, early):
        with client(server) as link, writers(server, 4):
            for _ in range(10):
                link.bgrewriteaof()
                wait_for(link, "aof_rewrite_in_progress", 0)
        assert not early.exists(), early.read_text()


def test_nor_when_the_log_was_switched_on(library: Path, tmp_path: Path) -> None:
    """What came while the first base was written is a promise once that is there."""
    with watched(library, tmp_path, "--appendfsync", "always") as (server, early), client(server) as link:
        for number in range(100):
            link.mset({f"{number}:{each}": "value" for each in range(3000)})
        link.config_set("appendonly", "yes")
        while not any(path.stat().st_size for path in increments(tmp_path / "data")):
            link.incr("key")
        wait_for(link, "aof_rewrite_in_progress", 0)
        assert early.exists()
        early.unlink()
        link.ping()
        assert not early.exists(), early.read_text()


def test_waitaof_is_answered_when_it_is_on_disk(library: Path, tmp_path: Path) -> None:
    options = ("--appendonly", "yes", "--appendfsync", "everysec")
    with watched(library, tmp_path, *options) as (server, early), client(server) as link:
        for rewriting in (False, True, False):
            if rewriting:
                link.bgrewriteaof()
            link.incr("key")
            early.unlink(missing_ok=True)
            assert link.execute_command("WAITAOF", 1, 0, 0) == [1, 0]
            assert not early.exists(), early.read_text()
