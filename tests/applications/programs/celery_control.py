"""Celery's remote control, which answers through queues of random names."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

from celery.exceptions import TaskRevokedError
from celery_app import add, app, slow
from steps import step, until

WITHIN = 15


def inspect():
    """One worker is all there is, so that nobody waits for a second answer."""
    return app.control.inspect(timeout=3, limit=1)


with subprocess.Popen(
    [sys.executable, "-m", "celery", "-A", "celery_app", "worker", "--concurrency", "2", "--loglevel", "WARNING"],
    cwd=Path(__file__).parent, stdout=sys.stderr, stdin=subprocess.DEVNULL,
) as worker:  # fmt: skip
    with step("task"):
        assert add.delay(2, 3).get(timeout=20) == 5
    with step("ping"):
        assert [*inspect().ping().values()] == [{"ok": "pong"}]
    with step("inspect"):
        running = slow.delay(1)
        until(lambda: any(inspect().active().values()))
        assert set(*inspect().registered().values()) >= {"celery_app.add", "celery_app.total"}
        assert running.get(timeout=WITHIN) == "woken"
    with step("terminate"):
        running = slow.delay(30)
        until(lambda: any(inspect().active().values()))
        running.revoke(terminate=True)
        try:
            running.get(timeout=WITHIN)
        except TaskRevokedError:
            pass
        else:
            raise AssertionError("it was revoked and ran")
        assert running.id in next(iter(inspect().revoked().values()))
    with step("scheduled"):
        late = slow.apply_async((1,), countdown=30)
        until(lambda: any(inspect().scheduled().values()))
        late.revoke()
        until(lambda: late.id in next(iter(inspect().revoked().values())))
    with step("purge"):
        assert app.control.purge() == 0
    worker.kill()
