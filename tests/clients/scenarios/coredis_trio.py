"""coredis on trio, which speaks RESP3 alone: `coredis_trio.py PORT`."""

from __future__ import annotations

import sys

import coredis
import trio
from coredis.exceptions import RedisError, WatchError
from steps import EVERY_BYTE, LARGE, MANY, restart, step

options = {"host": "127.0.0.1", "port": int(sys.argv[1]), "stream_timeout": 10}


async def until(call, within: float = 10.0):
    """The first true result of `call`; errors are another try."""
    with trio.fail_after(within):
        while True:
            try:
                if result := await call():
                    return result
            except RedisError:
                pass
            await trio.sleep(0.05)


async def next_message(listener, kind: str):
    with trio.fail_after(10):
        while True:
            message = await listener.get_message(timeout=1)
            if message and message["type"] == kind:
                return message


async def connect(client) -> None:
    assert await client.ping() == b"PONG"
    assert (await client.info())["redis_version"]
    assert await client.client_id() > 0
    async with coredis.Redis(**options, client_name="scenario", db=1) as named:
        assert await named.client_getname() == b"scenario"
        assert await named.set("connect", "one") is True
        assert await named.delete(["connect"]) == 1


async def pipeline(client) -> None:
    async with client.pipeline(transaction=False) as pipe:
        stored = [pipe.set(f"many:{number}", str(number)) for number in range(MANY)]
        read = [pipe.get(f"many:{number}") for number in range(MANY)]
    assert [await one for one in stored] == [True] * MANY
    assert [await one for one in read] == [b"%d" % number for number in range(MANY)]
    assert await client.delete([f"many:{number}" for number in range(1000)]) == 1000


async def transaction(client) -> None:
    await client.delete(["{t}n"])
    async with client.pipeline(transaction=True) as pipe:
        first, second = pipe.incr("{t}n"), pipe.incrby("{t}n", 4)
    assert (await first, await second) == (1, 5)
    try:
        async with client.pipeline(transaction=True) as pipe, pipe.watch("{t}n"):
            await client.set("{t}n", "changed")
            pipe.set("{t}n", "lost")
    except (WatchError, BaseExceptionGroup) as failure:
        left = failure.exceptions[0] if isinstance(failure, BaseExceptionGroup) else failure
        assert isinstance(left, WatchError), left
    assert await client.get("{t}n") == b"changed"
    async with client.pipeline(transaction=True) as pipe, pipe.watch("{t}n"):
        last = pipe.set("{t}n", "last")
    assert await last is True


async def pubsub(client) -> None:
    async with client.pubsub(channels=["news:trio"], patterns=["trio:*"]) as listener:
        assert await until(lambda: client.publish("news:trio", EVERY_BYTE)) == 1
        assert (await next_message(listener, "message"))["data"] == EVERY_BYTE
        assert await until(lambda: client.publish("trio:x", "p")) == 1
        assert (await next_message(listener, "pmessage"))["channel"] == b"trio:x"


async def blocking(client) -> None:
    await client.delete(["{b}l", "{b}m", "{b}x"])
    async with trio.open_nursery() as nursery:

        async def push() -> None:
            await trio.sleep(0.05)
            await client.rpush("{b}l", ["one"])

        nursery.start_soon(push)
        assert list(await client.blpop(["{b}m", "{b}l"], timeout=5)) == [b"{b}l", b"one"]
    assert await client.brpop(["{b}l"], timeout=0.05) is None
    await client.xadd("{b}x", field_values={"f": "v"})
    assert len(await client.xread({"{b}x": "0"}, block=1000)) == 1


async def scan(client) -> None:
    await client.mset({f"scan:{number}": str(number) for number in range(1000)})
    wanted = {b"scan:%d" % number for number in range(1000)}
    assert {key async for key in client.scan_iter("scan:*", count=100)} == wanted
    assert set(await client.keys("scan:*")) == wanted
    assert await client.dbsize() >= 1000


async def script(client) -> None:
    await client.script_flush()
    add = client.register_script("return redis.call('INCRBY', KEYS[1], ARGV[1])")
    keys = [f"script:{number}" for number in range(20)]
    await client.delete(keys)
    assert [await add(keys=[key], args=[3]) for key in keys] == [3] * 20
    await client.script_flush()
    assert [await add(keys=[key], args=[4]) for key in keys] == [7] * 20


async def binary(client) -> None:
    assert await client.set(EVERY_BYTE, EVERY_BYTE * 4) is True
    assert await client.get(EVERY_BYTE) == EVERY_BYTE * 4


async def large(client) -> None:
    assert await client.set("large", LARGE) is True
    assert await client.get("large") == LARGE
    assert await client.delete(["large"]) == 1


async def after_restart(client) -> None:
    async with client.pubsub(channels=["through"]) as listener:
        await until(lambda: client.publish("through", "before"))
        await trio.to_thread.run_sync(restart)
        for number in range(30):
            assert await until(lambda number=number: client.set(f"again:{number}", str(number))) is True

        async def heard():
            await client.publish("through", "heard")
            message = await listener.get_message(timeout=0.1)
            return message and message["type"] == "message" and message["data"] == b"heard"

        await until(heard)


async def main() -> None:
    async with coredis.Redis(**options) as client:
        for name, run in (
            ("connect", connect), ("pipeline", pipeline), ("transaction", transaction), ("pubsub", pubsub),
            ("blocking", blocking), ("scan", scan), ("script", script), ("binary", binary), ("large", large),
            ("restart", after_restart),
        ):  # fmt: skip
            with step(name), trio.fail_after(15):
                await run(client)


trio.run(main)
