"""Django: its cache and its sessions, as `django.core.cache.backends.redis` comes."""

from __future__ import annotations

import os

import django
from django.conf import settings
from steps import step

settings.configure(
    CACHES={"default": {"BACKEND": "django.core.cache.backends.redis.RedisCache", "LOCATION": os.environ["URL"]}},
    SESSION_ENGINE="django.contrib.sessions.backends.cache",
    SECRET_KEY="of no use",
)
django.setup()

from django.contrib.sessions.backends.cache import SessionStore  # noqa: E402
from django.core.cache import cache  # noqa: E402

MANY = {f"many:{number}": {"number": number} for number in range(500)}

with step("cache"):
    cache.set("a", {"deep": [1, 2, "three"]})
    assert cache.get("a") == {"deep": [1, 2, "three"]}
    assert cache.get("missing", "default") == "default"
    assert cache.add("a", 1) is False and cache.add("b", 1) is True
    assert cache.incr("b", 41) == 42 and cache.decr("b") == 41
    assert cache.touch("a", 100) is True and cache.touch("missing") is False
    assert cache.has_key("a") is True
    assert cache.get_or_set("c", lambda: "made") == "made"
    assert cache.delete("a") is True and cache.delete("a") is False
with step("forever"):
    cache.set("forever", 1, timeout=None)
    cache.set("never", 1, timeout=0)
    assert cache.get("forever") == 1 and cache.get("never") is None
with step("many"):
    assert cache.set_many(MANY, timeout=None) == []
    assert cache.get_many(MANY) == MANY
with step("many_with_timeout"):
    assert cache.set_many(MANY) == []
    assert cache.get_many([*MANY, "missing"]) == MANY
    cache.delete_many(MANY)
    assert cache.get_many(MANY) == {}
with step("version"):
    cache.set("v", "one", version=1)
    assert cache.incr_version("v") == 2
    assert cache.get("v", version=2) == "one" and cache.get("v", version=1) is None
with step("session"):
    session = SessionStore()
    session["user"] = 7
    session.save()
    key = session.session_key
    assert SessionStore(key)["user"] == 7 and session.exists(key)
    session.cycle_key()
    assert SessionStore(session.session_key)["user"] == 7 and not session.exists(key)
    session.flush()
    assert not session.exists(session.session_key or "gone")
with step("clear"):
    cache.set("left", 1)
    cache.clear()
    assert cache.get("left") is None
