"""Requests and Clients over real engines in this process, on a unix socket, asked by a plain client."""

from __future__ import annotations

import os
from contextlib import asynccontextmanager, suppress

import hiredis
import pytest
import trio
import trio.testing

from proxy.address import Listen, make_server
from proxy.control import clients as clients_module
from proxy.control import requests as requests_module
from proxy.control.access import Access
from proxy.control.answers import prepare
from proxy.control.clients import Clients
from proxy.control.engines import Engines, EventKind
from proxy.control.nodes import Nodes
from proxy.control.requests import Requests
from proxy.control.snapshot import Snapshot
from proxy.errors import ReplyError
from proxy.settings import Pool, Settings


class Asker:
    """One client; error replies come back as `hiredis.ReplyError` values."""

    def __init__(self, stream):
        self._stream = stream
        self._reader = hiredis.Reader()

    async def __call__(self, *words):
        return (await self.pipeline(hiredis.pack_command(words), 1))[0]

    async def pipeline(self, data, count):
        await self._stream.send_all(data)
        replies = []
        with trio.fail_after(10):
            while len(replies) < count:
                while (reply := self._reader.gets()) is False:
                    self._reader.feed(bytes(await self._stream.receive_some()))
                replies.append(reply)
        return replies


class Lane:
    """The control lane over `running` of the two engines; the others are built and never take a turn."""

    def __init__(self, path, nursery):
        pool = Pool(name="main", listen=Listen(path=path), servers=(make_server("127.0.0.1:1"),), preconnect=False)
        self.path = path
        self.settings = Settings(engines=2, pools=(pool,))
        self.engines = Engines(self.settings)
        self.clients = Clients(self.settings, self.engines)
        self.snapshot = Snapshot(self.settings, self.engines, Nodes(self.settings, self.engines.engines, nursery))
        self.requests = Requests(
            self.engines, self.snapshot, self.clients, access=Access(self.settings, self.clients)
        )

    async def read_events(self, index):
        engine = self.engines.engines[index]
        while True:
            await trio.lowlevel.wait_readable(engine.event_fd)
            with suppress(BlockingIOError):
                os.read(engine.event_fd, 8)
            for event in engine.events():
                kind, _, _, code, _, _, tag, data = event
                if kind == EventKind.REQUEST:
                    self.requests.asked(index, event)
                elif kind == EventKind.LISTED:
                    self.clients.listed(tag, code == 1, data)

    @asynccontextmanager
    async def client(self):
        async with await trio.open_unix_socket(self.path) as stream:
            yield Asker(stream)


@asynccontextmanager
async def lane(tmp_path, running=2):
    async with trio.open_nursery() as nursery:
        made = Lane(str(tmp_path / "lane.sock"), nursery)
        nursery.start_soon(made.requests.run)
        started = made.engines.engines[:running]
        for index, engine in enumerate(started):
            nursery.start_soon(trio.to_thread.run_sync, engine.run)
            nursery.start_soon(made.read_events, index)
            engine.listen()
        try:
            yield made
        finally:
            for engine in started:
                engine.stop()
            nursery.cancel_scope.cancel()


async def test_every_request_of_a_pipeline_is_answered_in_order(tmp_path):
    words = [("COMMAND", "COUNT"), ("CLIENT", "ID"), ("CLIENT", "INFO"), ("CLIENT", "LIST"), ("INFO", "server")]
    async with lane(tmp_path) as made, made.client() as ask:
        count, number, info, listed, server = await ask.pipeline(b"".join(map(hiredis.pack_command, words)), 5)
        assert count > 200
        assert info.startswith(b"id=%d " % number) and b" cmd=client|info " in info
        assert listed.startswith(b"id=%d " % number) and b" cmd=client|list " in listed
        assert listed.count(b"\n") == 1
        assert b"redis_version:" in server


async def test_inline_requests_are_answered_too(tmp_path):
    async with lane(tmp_path) as made, made.client() as ask:
        count, save = await ask.pipeline(b"command count\r\nCONFIG GET save\r\n", 2)
        assert count > 200 and save == [b"save", b""]


async def test_clients_of_all_engines_are_listed_once(tmp_path):
    """Long names make the text span several events, cut anywhere."""
    async with lane(tmp_path) as made, trio.open_nursery() as nursery:
        names = {}

        async def stay(number, named):
            async with made.client() as ask:
                name = f"{number:03}" + "x" * 100
                await ask("CLIENT", "SETNAME", name)
                await ask("CLIENT", "SETINFO", "LIB-NAME", f"lib{number}")
                names[await ask("CLIENT", "ID")] = (name, f"lib{number}")
                named.set()
                await trio.sleep_forever()

        events = [trio.Event() for _ in range(300)]
        for number, named in enumerate(events):
            nursery.start_soon(stay, number, named)
        for named in events:
            await named.wait()
        assert all(count > 100 for count in made.engines._group.clients)
        everyone = await made.clients.everyone()
        assert {record.id: (record.name, record.library_name) for record in everyone} == names
        assert [record.id for record in everyone] == sorted(names)
        assert all(record.unix for record in everyone)
        nursery.cancel_scope.cancel()


async def test_those_who_ask_meanwhile_share_the_next_list(tmp_path, monkeypatch):
    async with lane(tmp_path) as made, made.client() as ask:
        await ask("PING")
        orders = []
        gather, begun, more = made.clients._gather, trio.Event(), trio.Event()

        async def counted():
            orders.append(1)
            begun.set()
            await more.wait()
            return await gather()

        monkeypatch.setattr(made.clients, "_gather", counted)
        async with trio.open_nursery() as nursery:
            for _ in range(50):
                nursery.start_soon(made.clients.everyone)
            await begun.wait()
            for _ in range(50):
                nursery.start_soon(made.clients.everyone)
            await trio.testing.wait_all_tasks_blocked()
            more.set()
        assert len(orders) == 2


async def test_a_silent_engine_makes_an_error_and_keeps_nobody_waiting(tmp_path, monkeypatch):
    async with lane(tmp_path, running=1) as made, made.client() as ask:
        assert await ask("PING") == b"PONG"
        async with trio.open_nursery() as nursery:
            monkeypatch.setattr(clients_module, "LIST_TIMEOUT", 1000.0)
            nursery.start_soon(made.clients.everyone)
            await trio.testing.wait_all_tasks_blocked()
            assert b"redis_version" in await ask("INFO", "server")
            assert (await ask("CLIENT", "INFO")).startswith(b"id=")
            nursery.cancel_scope.cancel()
        monkeypatch.setattr(clients_module, "LIST_TIMEOUT", 0.05)
        reply = await ask("CLIENT", "LIST")
        assert isinstance(reply, hiredis.ReplyError) and "engine 1 did not describe its clients" in str(reply)
        assert await ask("COMMAND", "COUNT") > 200


async def test_answers_to_nobody_are_ignored(tmp_path):
    async with lane(tmp_path) as made, made.client() as ask:
        made.clients.listed(12345, True, b"whatever\n")
        assert (await ask("CLIENT", "LIST")).count(b"\n") == 1


async def test_an_exception_is_an_error_reply_and_a_traceback_in_the_log(tmp_path, monkeypatch, caplog):
    def fail(*_):
        raise LookupError("out of order")

    async with lane(tmp_path) as made, made.client() as ask:
        monkeypatch.setattr(requests_module, "answer", fail)
        for words in (("INFO",), ("CLIENT", "LIST"), ("CLIENT", "INFO")):
            caplog.clear()
            reply = await ask(*words)
            assert isinstance(reply, hiredis.ReplyError) and f"failed to answer '{words[0]}'" in str(reply)
            assert "LookupError: out of order" in caplog.text
        monkeypatch.undo()
        assert await ask("COMMAND", "COUNT") > 200


async def test_a_client_that_leaves_while_it_waits_harms_nobody(tmp_path):
    async with lane(tmp_path) as made:
        for _ in range(20):
            async with made.client() as ask:
                await ask._stream.send_all(hiredis.pack_command(("CLIENT", "LIST")))
        async with made.client() as ask:
            assert b"cmd=client|list" in await ask("CLIENT", "LIST")


async def test_clients_raises_a_reply_error(tmp_path, monkeypatch):
    monkeypatch.setattr(clients_module, "LIST_TIMEOUT", 0.05)
    async with lane(tmp_path, running=0) as made:
        with pytest.raises(ReplyError, match="did not describe"):
            await made.clients.everyone()


def test_long_replies_are_built_once():
    prepare()
    from proxy.control.answers.command import _all_docs, _all_rows

    for cached in (_all_rows, _all_docs):
        before = cached.cache_info().misses
        assert cached(2) != cached(3)
        assert cached.cache_info().misses == before == 2
