"""Locks: redis-py's own, and python-redis-lock, which waits on a list and keeps two keys for each lock."""

from __future__ import annotations

import os
import threading
import time

import redis
import redis_lock
from redis.exceptions import LockError, LockNotOwnedError
from steps import step

client = redis.Redis.from_url(os.environ["URL"])


def counted(make, threads: int = 4, rounds: int = 25) -> int:
    """How far threads get that read, wait and write back, each time under a lock."""
    state = {"n": 0}

    def work() -> None:
        for _ in range(rounds):
            with make():
                seen = state["n"]
                time.sleep(0)
                state["n"] = seen + 1

    working = [threading.Thread(target=work) for _ in range(threads)]
    for thread in working:
        thread.start()
    for thread in working:
        thread.join()
    return state["n"]


with step("redis-py"):
    assert counted(lambda: client.lock("lock", timeout=5, sleep=0.005)) == 100
    lock = client.lock("lock:2", timeout=5)
    assert lock.acquire() and lock.owned() and lock.extend(5) and lock.reacquire()
    assert client.lock("lock:2").acquire(blocking=False) is False
    lock.release()
    try:
        lock.release()
    except LockError:
        pass
    else:
        raise AssertionError("released twice")
    lost = client.lock("lock:3", timeout=0.05)
    lost.acquire()
    time.sleep(0.1)
    try:
        lost.release()
    except LockNotOwnedError:
        pass
    else:
        raise AssertionError("a lock that had run out was released")
with step("python-redis-lock"):
    redis_lock.reset_all(client)
    assert counted(lambda: redis_lock.Lock(client, "resource", expire=10)) == 100
with step("renewal"):
    with redis_lock.Lock(client, "renewed", expire=1, auto_renewal=True):
        time.sleep(1.5)
        assert redis_lock.Lock(client, "renewed").acquire(blocking=False) is False
    lock = redis_lock.Lock(client, "renewed", expire=1)
    assert lock.acquire(timeout=0.5)
    lock.extend(5)
    lock.release()
