"""redis-py or its sister valkey-py, synchronous: `redis_py.py redis|valkey PORT PROTOCOL`."""

from __future__ import annotations

import importlib
import sys
import threading

from steps import EVERY_BYTE, LARGE, MANY, restart, step, until

library = importlib.import_module(sys.argv[1])
port, protocol = int(sys.argv[2]), int(sys.argv[3])
options = {"host": "127.0.0.1", "port": port, "protocol": protocol, "socket_timeout": 10}


def later(*words: object, delay: float = 0.05) -> None:
    """Send one request from another connection, in a moment."""

    def send() -> None:
        with library.Redis(**options) as other:
            other.execute_command(*words)

    threading.Timer(delay, send).start()


def next_message(listener, kind: str):
    for _ in range(100):
        message = listener.get_message(timeout=0.1)
        if message and message["type"] == kind:
            return message
    raise AssertionError(f"no {kind} within 10 s")


def connect(client) -> None:
    assert client.ping() is True
    assert client.echo("hello") == b"hello"
    assert client.info()["redis_version"]
    assert client.client_id() > 0
    with library.Redis(**options, client_name="scenario", db=1) as named:
        assert named.client_getname() in (b"scenario", "scenario")
        assert named.set("connect", "one") is True
        assert named.delete("connect") == 1
        assert any(entry["name"] == "scenario" for entry in client.client_list())
    assert client.config_get("maxmemory")
    assert client.command_count() > 200


def pipeline(client) -> None:
    with client.pipeline(transaction=False) as pipe:
        for number in range(MANY):
            pipe.set(f"many:{number}", number)
        assert pipe.execute() == [True] * MANY
        for number in range(MANY):
            pipe.get(f"many:{number}")
        assert pipe.execute() == [b"%d" % number for number in range(MANY)]
    keys = [f"many:{number}" for number in range(1000)]
    assert client.mget(keys) == [b"%d" % number for number in range(1000)]
    assert client.exists(*keys) == 1000
    assert client.delete(*keys) == 1000
    assert client.mset({"{m}1": "a", "{m}2": "b"}) is True


def transaction(client) -> None:
    client.delete("{t}n", "{t}l")
    with client.pipeline() as pipe:
        assert pipe.incr("{t}n").incrby("{t}n", 4).rpush("{t}l", "a", "b").lrange("{t}l", 0, -1).execute() == [
            1, 5, 2, [b"a", b"b"],
        ]  # fmt: skip
        pipe.incr("{t}n").lpush("{t}n", "x").incr("{t}n")
        replies = pipe.execute(raise_on_error=False)
        assert replies[0] == 6 and replies[2] == 7
        assert "WRONGTYPE" in str(replies[1]) or "wrong kind" in str(replies[1])
        for number in range(2000):
            pipe.set(f"{{t}}{number}", number)
        assert pipe.execute() == [True] * 2000
        pipe.watch("{t}n")
        before = int(pipe.get("{t}n"))
        pipe.multi()
        pipe.set("{t}n", before + 1)
        assert pipe.execute() == [True]
        pipe.watch("{t}n")
        client.set("{t}n", "changed")
        pipe.multi()
        pipe.set("{t}n", "lost")
        try:
            pipe.execute()
        except library.WatchError:
            pass
        else:
            raise AssertionError("a watched key was changed and EXEC went through")
    assert client.get("{t}n") == b"changed"

    def increment(pipe) -> None:
        value = int(pipe.get("{t}counter") or 0)
        pipe.multi()
        pipe.set("{t}counter", value + 1)

    client.delete("{t}counter")
    for _ in range(10):
        client.transaction(increment, "{t}counter")
    assert client.get("{t}counter") == b"10"
    with client.lock("{t}lock", timeout=5):
        assert client.exists("{t}lock") == 1
    assert client.exists("{t}lock") == 0


def pubsub(client) -> None:
    with client.pubsub() as listener:
        listener.subscribe("news", "news:2")
        listener.psubscribe("pattern:*")
        assert next_message(listener, "subscribe")["data"] == 1
        assert next_message(listener, "subscribe")["data"] == 2
        assert next_message(listener, "psubscribe")["data"] == 3
        assert client.publish("news", EVERY_BYTE) == 1
        assert next_message(listener, "message")["data"] == EVERY_BYTE
        assert client.publish("pattern:x", "p") == 1
        message = next_message(listener, "pmessage")
        assert (message["pattern"], message["channel"], message["data"]) == (b"pattern:*", b"pattern:x", b"p")
        assert set(client.pubsub_channels()) >= {b"news", b"news:2"}
        assert client.pubsub_numsub("news", "nobody") == [(b"news", 1), (b"nobody", 0)]
        assert client.pubsub_numpat() == 1
        listener.ping()
        assert next_message(listener, "pong")
        listener.unsubscribe("news")
        next_message(listener, "unsubscribe")
        assert client.publish("news", "gone") == 0
    heard = []
    listener = client.pubsub()
    listener.subscribe(**{"handled": lambda message: heard.append(message["data"])})
    thread = listener.run_in_thread(sleep_time=0.01)
    try:
        until(lambda: client.publish("handled", "1"))
        until(lambda: heard)
    finally:
        thread.stop()
        thread.join()


def blocking(client) -> None:
    client.delete("{b}l", "{b}m", "{b}z", "{b}x")
    later("RPUSH", "{b}l", "one")
    assert client.blpop(["{b}m", "{b}l"], timeout=5) in ((b"{b}l", b"one"), [b"{b}l", b"one"])
    assert client.brpop("{b}l", timeout=0.05) is None
    later("RPUSH", "{b}l", "two")
    assert client.blmove("{b}l", "{b}m", 5, "LEFT", "RIGHT") == b"two"
    later("ZADD", "{b}z", 1, "member")
    assert tuple(client.bzpopmin("{b}z", timeout=5)) == (b"{b}z", b"member", 1.0)
    later("XADD", "{b}x", "*", "f", "v")
    streams = client.xread({"{b}x": "$"}, block=5000)
    assert len(streams) == 1
    client.xgroup_create("{b}x", "g", id="0")
    assert client.xreadgroup("g", "me", {"{b}x": ">"}, block=1000)
    assert not client.xreadgroup("g", "me", {"{b}x": ">"}, block=20)
    assert client.wait(0, 10) == 0


def scan(client) -> None:
    with client.pipeline(transaction=False) as pipe:
        for number in range(1000):
            pipe.set(f"scan:{number}", number)
        pipe.execute()
    wanted = {b"scan:%d" % number for number in range(1000)}
    assert set(client.scan_iter("scan:*", count=100)) == wanted
    assert set(client.keys("scan:*")) == wanted
    assert client.dbsize() >= 1000
    assert client.randomkey() is not None
    client.hset("scanned", mapping={str(number): number for number in range(600)})
    assert len(dict(client.hscan_iter("scanned"))) == 600
    assert set(client.scan_iter("scan*", _type="hash")) == {b"scanned"}
    client.sadd("scanned:set", *range(600))
    assert len(set(client.sscan_iter("scanned:set"))) == 600
    client.zadd("scanned:sorted", {str(number): number for number in range(600)})
    assert len(dict(client.zscan_iter("scanned:sorted"))) == 600


def script(client) -> None:
    client.script_flush()
    add = client.register_script("return redis.call('INCRBY', KEYS[1], ARGV[1])")
    keys = [f"script:{number}" for number in range(20)]  # on every node
    client.delete(*keys)
    assert [add(keys=[key], args=[3]) for key in keys] == [3] * 20
    assert client.script_exists(add.sha) == [True]
    client.script_flush()
    assert [add(keys=[key], args=[4]) for key in keys] == [7] * 20
    client.script_flush()
    with client.pipeline(transaction=False) as pipe:
        for key in keys:
            add(keys=[key], args=[1], client=pipe)
        assert pipe.execute() == [8] * 20
    assert client.eval("return {KEYS[1], ARGV[1], 1, false}", 1, "script:1", "a") == [b"script:1", b"a", 1, None]
    client.function_load("#!lua name=scenario\nredis.register_function('twice', "
                         "function(keys, args) return 2 * redis.call('GET', keys[1]) end)", replace=True)  # fmt: skip
    assert client.fcall("twice", 1, "script:7") == 16
    assert client.function_delete("scenario") in (True, b"OK", "OK")


def binary(client) -> None:
    assert client.set(EVERY_BYTE, EVERY_BYTE * 4) is True
    assert client.get(EVERY_BYTE) == EVERY_BYTE * 4
    assert client.hset(b"\r\n$5\r\n", mapping={EVERY_BYTE: b"", b"": EVERY_BYTE}) in (0, 2)
    assert client.hgetall(b"\r\n$5\r\n") == {EVERY_BYTE: b"", b"": EVERY_BYTE}
    with library.Redis(**options, decode_responses=True) as text:
        assert text.set("grün", "€\N{SNOWMAN}") is True
        assert text.get("grün") == "€\N{SNOWMAN}"


def large(client) -> None:
    assert client.set("large", LARGE) is True
    assert client.get("large") == LARGE
    with client.pipeline(transaction=False) as pipe:
        replies = pipe.append("large", "tail").strlen("large").getrange("large", -4, -1).get("large").execute()
    assert replies[:3] == [len(LARGE) + 4, len(LARGE) + 4, b"tail"] and replies[3][:-4] == LARGE
    with client.pipeline() as pipe:
        assert pipe.set("large", LARGE).strlen("large").execute() == [True, len(LARGE)]
    assert client.delete("large") == 1


def after_restart(client) -> None:
    with client.pubsub() as listener:
        listener.subscribe("through")
        next_message(listener, "subscribe")
        restart()
        for number in range(30):
            until(lambda number=number: client.set(f"again:{number}", number))
        assert client.mget([f"again:{number}" for number in range(30)]) == [b"%d" % number for number in range(30)]
        until(lambda: client.publish("through", "heard") and listener.get_message(timeout=0.1))


with library.Redis(**options) as client:
    for name, run in (
        ("connect", connect), ("pipeline", pipeline), ("transaction", transaction), ("pubsub", pubsub),
        ("blocking", blocking), ("scan", scan), ("script", script), ("binary", binary), ("large", large),
        ("restart", after_restart),
    ):  # fmt: skip
        with step(name):
            run(client)
