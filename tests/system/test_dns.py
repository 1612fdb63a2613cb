"""A node's name is looked up again at every reconnection: one that moved to another address is found there."""

from __future__ import annotations

from contextlib import ExitStack

import hiredis
import trio

from proxy.address import Listen, make_server
from proxy.app import serve
from proxy.settings import Pool, Reconnect, Settings
from tests.system.conftest import start_redis


class Book(trio.abc.HostnameResolver):
    """Every name is at `host`."""

    host = "127.0.0.1"

    async def getaddrinfo(self, host, port, family=0, type=0, proto=0, flags=0):
        await trio.lowlevel.checkpoint()
        assert host == b"node.test"
        return [(trio.socket.AF_INET, trio.socket.SOCK_STREAM, 0, "", (self.host, port))]

    async def getnameinfo(self, sockaddr, flags):
        raise OSError("no names here")


async def ask(stream, *words):
    reader = hiredis.Reader()
    await stream.send_all(hiredis.pack_command(words))
    while (reply := reader.gets()) is False:
        reader.feed(bytes(await stream.receive_some()))
    return reply


async def test_a_node_that_moved_is_found(redis_nodes, tmp_path, tmp_path_factory):
    [old] = redis_nodes(1)
    book = Book()
    trio.socket.set_custom_hostname_resolver(book)
    path = str(tmp_path / "proxy.sock")
    pool = Pool(
        name="main", listen=Listen(path=path), servers=(make_server(f"node.test:{old.port}"),),
        server_retry_timeout=0.05, reconnect=Reconnect(first=0.01, most=0.05),
    )  # fmt: skip
    ready = trio.Event()
    with ExitStack() as stack, trio.fail_after(30):
        async with trio.open_nursery() as nursery:
            nursery.start_soon(serve, Settings(engines=1, pools=(pool,)), lambda addresses: ready.set())
            await ready.wait()
            async with await trio.open_unix_socket(path) as stream:
                assert await ask(stream, "SET", "key", "old") == b"OK"
                # The same port at another address: an empty server, so that the answer tells who gave it.
                await trio.to_thread.run_sync(old.stop)
                await trio.to_thread.run_sync(
                    lambda: start_redis(stack, tmp_path_factory.mktemp("moved"), "--bind", "127.0.0.2", port=old.port)
                )
                book.host = "127.0.0.2"
                while (reply := await ask(stream, "GET", "key")) is not None:
                    assert isinstance(reply, hiredis.ReplyError), reply
                    await trio.sleep(0.01)
            nursery.cancel_scope.cancel()
