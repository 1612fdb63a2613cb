"""limits and Flask-Limiter: every strategy over their storage in Redis, which is made of scripts."""

from __future__ import annotations

import os

from flask import Flask
from flask_limiter import Limiter
from flask_limiter.util import get_remote_address
from limits import parse, storage, strategies
from steps import step

store = storage.storage_from_string(os.environ["URL"])
FIVE = parse("5/minute")

for name in ("FixedWindowRateLimiter", "MovingWindowRateLimiter", "SlidingWindowCounterRateLimiter"):
    with step(name):
        limiter = getattr(strategies, name)(store)
        for user in range(20):  # on every node
            assert [limiter.hit(FIVE, name, str(user)) for _ in range(7)] == [True] * 5 + [False] * 2
            assert limiter.test(FIVE, name, str(user)) is False
            assert limiter.get_window_stats(FIVE, name, str(user)).remaining == 0
            limiter.clear(FIVE, name, str(user))
            assert limiter.test(FIVE, name, str(user)) is True
with step("storage"):
    assert store.check() is True
    assert [store.incr("one", 60) for _ in range(3)] == [1, 2, 3]
    assert store.get("one") == 3 and store.get_expiry("one") > 0
    store.clear("one")
    assert store.get("one") == 0
with step("flask"):
    app = Flask("application")
    Limiter(get_remote_address, app=app, default_limits=["3 per minute"], storage_uri=os.environ["URL"],
            strategy="moving-window")  # fmt: skip

    @app.route("/")
    def page() -> str:
        return "served"

    client = app.test_client()
    assert [client.get("/").status_code for _ in range(5)] == [200] * 3 + [429] * 2
