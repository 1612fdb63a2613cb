"""redis-py or valkey-py under asyncio: `redis_py_asyncio.py redis|valkey PORT PROTOCOL`."""

from __future__ import annotations

import asyncio
import importlib
import sys
from contextlib import aclosing

from steps import EVERY_BYTE, LARGE, MANY, restart, step

library = importlib.import_module(sys.argv[1] + ".asyncio")
errors = importlib.import_module(sys.argv[1] + ".exceptions")
failed = errors.ResponseError, errors.ConnectionError
port, protocol = int(sys.argv[2]), int(sys.argv[3])
options = {"host": "127.0.0.1", "port": port, "protocol": protocol, "socket_timeout": 10}


async def until(call, within: float = 10.0):
    """The first true result of `call`; errors are another try."""
    async with asyncio.timeout(within):
        while True:
            try:
                if result := await call():
                    return result
            except failed:
                pass
            await asyncio.sleep(0.05)


async def next_message(listener, kind: str):
    async with asyncio.timeout(10):
        while True:
            message = await listener.get_message(timeout=1)
            if message and message["type"] == kind:
                return message


async def connect(client) -> None:
    assert await client.ping() is True
    assert (await client.info())["redis_version"]
    assert await client.client_id() > 0
    async with library.Redis(**options, client_name="scenario", db=1) as named:
        assert await named.client_getname() in (b"scenario", "scenario")
        assert await named.set("connect", "one") is True
        assert await named.delete("connect") == 1
    names = await asyncio.gather(*(client.set(f"concurrent:{number}", number) for number in range(50)))
    assert names == [True] * 50


async def pipeline(client) -> None:
    async with client.pipeline(transaction=False) as pipe:
        for number in range(MANY):
            pipe.set(f"many:{number}", number)
        assert await pipe.execute() == [True] * MANY
        for number in range(MANY):
            pipe.get(f"many:{number}")
        assert await pipe.execute() == [b"%d" % number for number in range(MANY)]
    assert await client.delete(*(f"many:{number}" for number in range(1000))) == 1000


async def transaction(client) -> None:
    await client.delete("{t}n", "{t}counter")
    async with client.pipeline() as pipe:
        assert await pipe.incr("{t}n").incrby("{t}n", 4).get("{t}n").execute() == [1, 5, b"5"]
        await pipe.watch("{t}n")
        await client.set("{t}n", "changed")
        pipe.multi()
        pipe.set("{t}n", "lost")
        try:
            await pipe.execute()
        except errors.WatchError:
            pass
        else:
            raise AssertionError("a watched key was changed and EXEC went through")

    async def increment(pipe) -> None:
        value = int(await pipe.get("{t}counter") or 0)
        pipe.multi()
        pipe.set("{t}counter", value + 1)

    await asyncio.gather(*(client.transaction(increment, "{t}counter") for _ in range(8)))
    assert await client.get("{t}counter") == b"8"
    async with client.lock("{t}lock", timeout=5):
        assert await client.exists("{t}lock") == 1
    assert await client.exists("{t}lock") == 0


async def pubsub(client) -> None:
    async with client.pubsub() as listener:
        await listener.subscribe("news:async")
        await listener.psubscribe("async:*")
        await next_message(listener, "psubscribe")
        assert await client.publish("news:async", EVERY_BYTE) == 1
        assert (await next_message(listener, "message"))["data"] == EVERY_BYTE
        assert await client.publish("async:x", "p") == 1
        assert (await next_message(listener, "pmessage"))["channel"] == b"async:x"
        await listener.unsubscribe("news:async")
        await next_message(listener, "unsubscribe")
        assert await client.publish("news:async", "gone") == 0
    listeners = [client.pubsub() for _ in range(20)]
    for listener in listeners:
        await listener.subscribe("all")
        await next_message(listener, "subscribe")
    assert await client.publish("all", "x") == 20
    for listener in listeners:
        assert (await next_message(listener, "message"))["data"] == b"x"
        await listener.aclose()


async def blocking(client) -> None:
    await client.delete("{b}l", "{b}m", "{b}x")
    waiting = [asyncio.create_task(client.blpop(["{b}m", "{b}l"], timeout=5)) for _ in range(5)]
    await asyncio.sleep(0.05)
    await client.rpush("{b}l", *range(5))
    taken = [(await task)[1] for task in waiting]
    assert sorted(taken) == [b"%d" % number for number in range(5)]
    assert await client.brpop("{b}l", timeout=0.05) is None
    reading = asyncio.create_task(client.xread({"{b}x": "$"}, block=5000))
    await asyncio.sleep(0.05)
    await client.xadd("{b}x", {"f": "v"})
    assert len(await reading) == 1
    cut = asyncio.create_task(client.blpop("{b}l", timeout=5))  # what a cancelled task leaves behind harms nobody
    await asyncio.sleep(0.05)
    cut.cancel()
    await asyncio.gather(cut, return_exceptions=True)
    assert await client.ping() is True


async def scan(client) -> None:
    await client.mset({f"scan:{number}": number for number in range(1000)})
    wanted = {b"scan:%d" % number for number in range(1000)}
    async with aclosing(client.scan_iter("scan:*", count=100)) as found:
        assert {key async for key in found} == wanted
    assert set(await client.keys("scan:*")) == wanted
    assert await client.dbsize() >= 1000


async def script(client) -> None:
    await client.script_flush()
    add = client.register_script("return redis.call('INCRBY', KEYS[1], ARGV[1])")
    keys = [f"script:{number}" for number in range(20)]
    await client.delete(*keys)
    assert await asyncio.gather(*(add(keys=[key], args=[3]) for key in keys)) == [3] * 20
    await client.script_flush()
    assert [await add(keys=[key], args=[4]) for key in keys] == [7] * 20


async def binary(client) -> None:
    assert await client.set(EVERY_BYTE, EVERY_BYTE * 4) is True
    assert await client.get(EVERY_BYTE) == EVERY_BYTE * 4


async def large(client) -> None:
    assert await client.set("large", LARGE) is True
    values = await asyncio.gather(*(client.get("large") for _ in range(3)))
    assert values == [LARGE] * 3
    assert await client.delete("large") == 1


async def after_restart(client) -> None:
    async with client.pubsub() as listener:
        await listener.subscribe("through")
        await next_message(listener, "subscribe")
        await asyncio.to_thread(restart)
        for number in range(30):
            assert await until(lambda number=number: client.set(f"again:{number}", number)) is True

        async def heard():
            return await client.publish("through", "heard") and await listener.get_message(timeout=0.1)

        assert (await until(heard))["data"] == b"heard"


async def main() -> None:
    async with library.Redis(**options) as client:
        for name, run in (
            ("connect", connect), ("pipeline", pipeline), ("transaction", transaction), ("pubsub", pubsub),
            ("blocking", blocking), ("scan", scan), ("script", script), ("binary", binary), ("large", large),
            ("restart", after_restart),
        ):  # fmt: skip
            with step(name):
                async with asyncio.timeout(15):
                    await run(client)


asyncio.run(main())
