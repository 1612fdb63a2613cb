"""Mending: pools with `replication: ring`. Who serves is looked at again and again; who missed something gets it.

Acts on what proxy/control/attendance.py decides: orders to the engines, hints read at the nodes and carried out by
copying the keys they name, everything copied to a node that came back as another process, and all keys compared in the
background (anti-entropy). The first node of a key's walk that serves is right; a node that misses writes is none,
because it does not serve before it was mended.
"""

from __future__ import annotations

import logging
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import suppress
from functools import partial
from typing import TYPE_CHECKING, Any

import trio

from proxy.control.attendance import Look, Member, State, attend
from proxy.control.engines import process_name
from proxy.control.statistics import CopiesStatistics
from proxy.errors import ReplyError
from proxy.lanes.keycopy import COPIED, SAME, KeyCopies
from proxy.lanes.links import OWN, Links
from proxy.lanes.raw import elements, integer, parse
from proxy.placement import placement

if TYPE_CHECKING:
    from proxy.control.engines import Engines
    from proxy.settings import Settings

__all__ = ["Mending"]

log = logging.getLogger("quench.mending")

#: Seconds between two looks at the nodes of a pool, and how long one waits for a node's answer.
EVERY = 0.25
PATIENCE = 1.0

#: Seconds after which a key that was copied is compared once more: what was on its way to one of the nodes has arrived.
SETTLE = 0.1
TRIES = 3

#: Keys that are mended, or compared, in one go.
BATCH = 256

#: No value, in either protocol.
NIL = (b"$-1\r\n", b"_\r\n")

#: Seconds that a proxy has a piece of work to itself, from each batch on.
LEASE = 2.0

KNOWN = OWN + b"known"  #: a hash: by node, the run_id of its process that was brought up to date last


class Mending:
    """Of all pools of a process."""

    def __init__(
        self, settings: Settings, engines: Engines, links: Links, settled: Callable[[], Awaitable[object]]
    ) -> None:
        """`settled()` returns when every engine has carried out the orders that it was given so far."""
        self._engines = engines
        self._settled = settled
        self._keys = KeyCopies(links)
        self.name = process_name().encode()  # of leases
        self._links = links
        self._pools = {
            index: _Pool(self, index, pool) for index, pool in enumerate(settings.pools) if pool.copied
        }
        links.serves = self.serves
        links.first = self.first

    def serves(self, pool: int, node: int) -> bool:
        """Is the node read from?"""
        return pool not in self._pools or self._pools[pool].members[node].state is State.SERVES

    def first(self, pool: int, key: bytes) -> int | None:
        """The node that is right about a key."""
        return self._pools[pool]._first(key) if pool in self._pools else None

    def known(self, pool: int, node: int) -> CopiesStatistics | None:
        """What INFO shows of a node."""
        if pool not in self._pools:
            return None
        mine = self._pools[pool]
        return CopiesStatistics(
            mine.members[node].state.name.lower(), mine.missed[node], mine.replayed[node], mine.mended[node],
            mine.repaired[node],
        )

    def failed(self, engine: int, pool: int, node: int, lost: bool, reason: str) -> None:
        """A connection of an engine failed."""
        if pool in self._pools and lost:
            self._pools[pool].failed(engine, node, reason)

    def opened(self, engine: int, pool: int, node: int) -> None:
        """And is open again."""
        if pool in self._pools:
            self._pools[pool].members[node].broken.discard(engine)

    async def first_look(self) -> None:
        """Before clients are accepted: what is known already of nodes that missed something."""
        async with trio.open_nursery() as nursery:
            for pool in self._pools.values():
                nursery.start_soon(pool.look)

    async def run(self) -> None:
        """For ever."""
        async with trio.open_nursery() as nursery:
            for pool in self._pools.values():
                nursery.start_soon(pool.run)
                if pool.settings.ring.anti_entropy:
                    nursery.start_soon(pool.compare_all)


class _Pool:
    """One of them."""

    def __init__(self, owner: Mending, index: int, settings: Any) -> None:
        self.settings = settings
        self.index = index
        self.members = [Member() for _ in settings.servers]
        self._labels = [(server.name or server.address).encode() for server in settings.servers]
        self._ring = placement(settings)
        self._owner = owner
        self._keys = owner._keys
        self._databases: list[set[int]] = [set() for _ in settings.servers]
        self._changed = trio.Event()
        self._doubts: set[tuple[int, int, int]] = set()  # (holder, database, about)
        self.missed = [0] * len(settings.servers)
        self.replayed = [0] * len(settings.servers)
        self.mended = [0] * len(settings.servers)
        self.repaired = [0] * len(settings.servers)

    # -- who serves ---------------------------------------------------------------------------------------------------

    def failed(self, engine: int, node: int, reason: str) -> None:
        member = self.members[node]
        member.broken.add(engine)
        member.why = reason
        self._changed.set()

    async def run(self) -> None:
        """Look, mend, and again."""
        async with trio.open_nursery() as nursery:
            working: set[int] = set()
            while True:
                self._changed = trio.Event()
                with trio.move_on_after(EVERY):
                    await self._changed.wait()
                await self.look()
                for node, member in enumerate(self.members):
                    if member.state is State.MENDING and node not in working:
                        working.add(node)
                        nursery.start_soon(self._guard, working, node, partial(self._mend, node))
                if self._doubts and -1 not in working:
                    working.add(-1)
                    nursery.start_soon(self._guard, working, -1, self._settle_doubts)

    async def _guard(self, working: set[int], what: int, work: Callable[[], Awaitable[object]]) -> None:
        """Work that a node may end at any time by going away; the next look sees it."""
        try:
            await work()
        except* ReplyError as error:
            log.info("mending.interrupted pool=%s reason=%r", self.settings.name, str(error.exceptions[0]))
        finally:
            working.discard(what)

    async def look(self) -> None:
        """Ask every node how it is and what it knows of the others, judge, and order."""
        count = len(self.members)
        seen: list[tuple[bytes, dict[bytes, bytes], dict[int, int]] | None] = [None] * count

        async def one(node: int) -> None:
            with trio.move_on_after(PATIENCE), suppress(ReplyError):
                seen[node] = await self._ask_about(node)

        async with trio.open_nursery() as nursery:
            for node in range(count):
                nursery.start_soon(one, node)
        hinted = [sum(told[2].get(node, 0) for told in seen if told is not None) for node in range(count)]
        self.missed = hinted
        # One that was away may have noted what was true before. Where nobody serves, everybody is heard.
        serving = {node for node, member in enumerate(self.members) if member.state is State.SERVES}
        looks = []
        for node, label in enumerate(self._labels):
            told = [
                other for place, other in enumerate(seen)
                if other is not None and place != node and (place in serving or not serving - {node})
            ]  # fmt: skip
            own = seen[node]
            known = frozenset(known[label] for _, known, _ in told if label in known)
            looks.append(None if own is None else Look(own[0], known, hinted[node]))
        ring = self.settings.ring
        before = [member.state for member in self.members]
        for node, state in attend(self.members, looks, ring.hint_window, ring.max_hints, trio.current_time()):
            await self._order(node, before[node], state)
        for node, member in enumerate(self.members):
            look = looks[node]
            if member.state is State.GONE and hinted[node] > ring.max_hints:
                member.state = State.LOST
                await self._order(node, State.GONE, State.LOST)
            if member.state is State.SERVES and look is not None and look.known != {look.run_id}:
                await self._note(node, look.run_id)

    async def _ask_about(self, node: int) -> tuple[bytes, dict[bytes, bytes], dict[int, int]]:
        """Its run_id, what it has noted of the others, and how many hints it keeps about each."""
        server = await self._keys.ask(self.index, node, 0, b"INFO", b"server")
        run_id = server.partition(b"run_id:")[2].split(b"\r\n")[0]
        keyspace = await self._keys.ask(self.index, node, 0, b"INFO", b"keyspace")
        self._databases[node] = {
            int(line[2 : line.index(b":")]) for line in keyspace.split(b"\r\n") if line.startswith(b"db")
        }
        noted = parse(await self._keys.ask(self.index, node, 0, b"HGETALL", KNOWN))
        hints: dict[int, int] = {}
        for database in self._databases[node]:
            for about, label in enumerate(self._labels):
                if about == node:
                    continue
                names = (OWN + b"hints:" + label, OWN + b"doubts:" + label)
                missed, doubted = [
                    integer(await self._keys.ask(self.index, node, database, b"ZCARD", name)) for name in names
                ]
                hints[about] = hints.get(about, 0) + missed
                if doubted:
                    self._doubts.add((node, database, about))
        return run_id, dict(zip(noted[::2], noted[1::2], strict=True)), hints

    async def _order(self, node: int, before: State, state: State) -> None:
        member = self.members[node]
        level = logging.INFO if before is State.GONE and state is State.SERVES else logging.WARNING
        log.log(
            level, "node.%s pool=%s node=%s was=%s reason=%r", state.name.lower(), self.settings.name,
            self._labels[node].decode(), before.name.lower(), "" if state is State.SERVES else member.why,
        )  # fmt: skip
        for engine in self._owner._engines.engines:
            await self._owner._engines.post(partial(engine.set_away, self.index, node, int(state)))
        if state is State.LOST:
            # Whoever sees it again first is to know, and what was noted is of no use.
            await self._note(node, b"")
            await self._forget(node)

    async def _note(self, node: int, run_id: bytes) -> None:
        """Have every other node know which process of this one is up to date; an empty run_id: none is."""
        for other in self._others(node):
            with suppress(ReplyError):
                await self._keys.ask(self.index, other, 0, b"HSET", KNOWN, self._labels[node], run_id)

    async def _forget(self, node: int) -> None:
        """Drop the hints about a node."""
        for other in self._others(node):
            for database in self._databases[other]:
                with suppress(ReplyError):
                    await self._keys.ask(self.index, other, database, b"DEL", self._hints(node))

    def _others(self, node: int) -> list[int]:
        """The nodes besides this one that are not away."""
        return [
            other for other, member in enumerate(self.members) if other != node and member.state <= State.MENDING
        ]

    # -- mending ------------------------------------------------------------------------------------------------------

    def _hints(self, node: int) -> bytes:
        """The key, at any other node, of what is noted about this one: a sorted set of keys that it misses."""
        name: bytes = OWN + b"hints:" + self._labels[node]
        return name

    def _present(self, key: bytes, *without: int) -> list[int]:
        """The nodes of a key that can be asked, those that serve before those that are mended."""
        nodes = [node for node in self._ring.candidates(key, self.settings.ring.copies) if node not in without]
        return [
            node for state in (State.SERVES, State.MENDING) for node in nodes if self.members[node].state is state
        ]

    def _first(self, key: bytes, *without: int) -> int | None:
        """The node that is right about a key: the first that serves, or else is mended. None: there is none now."""
        return next(iter(self._present(key, *without)), None)

    async def _source(self, database: int, key: bytes, *without: int) -> int | None:
        """The first that, as far as others know, has not missed a write of this key; where each has, the first of all.

        Another proxy may have lost a node that serves here. What it writes meanwhile is hinted, and newer than what
        that node would give.
        """
        nodes = self._present(key, *without)
        everywhere = self._present(key)
        for node in nodes:
            for other in everywhere:
                if other != node and await self._keys.ask(
                    self.index, other, database, b"ZSCORE", self._hints(node), key
                ) not in NIL:
                    break
            else:
                return node
        return next(iter(nodes), None)

    async def _mend(self, node: int) -> None:
        """Bring one node up to date; when that is done the next look has it serve."""
        member = self.members[node]
        await self._owner._settled()
        began = trio.current_time()
        count = 0
        if member.whole:
            count += await self._give_all(node)
            # Hints are not dropped: another proxy may have noted one after the key was given.
            await self._note(node, (await self._keys.ask(self.index, node, 0, b"INFO", b"server")).partition(
                b"run_id:")[2].split(b"\r\n")[0])
            member.whole = False
            member.run_id = b""
            if member.state is State.LOST:
                member.state = State.MENDING
        for other in self._others(node):
            for database in sorted(self._databases[other]):
                count += await self._replay(other, database, node)
        if not count:
            # Another proxy is at it, or there was nothing to do.
            return
        log.info(
            "node.mended pool=%s node=%s keys=%d elapsed=%.2f", self.settings.name, self._labels[node].decode(), count,
            trio.current_time() - began,
        )  # fmt: skip

    async def _leased(self, holder: int, what: bytes, seconds: float = LEASE) -> bool:
        """Is it for this proxy to do? So that no two do the same, as far as possible: nothing breaks if they do."""
        name = OWN + b"lease:" + what
        words = name, self._owner.name, b"PX", b"%d" % (seconds * 1000)
        if await self._keys.ask(self.index, holder, 0, b"SET", *words, b"NX") not in NIL:
            return True
        if parse(await self._keys.ask(self.index, holder, 0, b"GET", name)) != self._owner.name:
            return False
        await self._keys.ask(self.index, holder, 0, b"SET", *words)
        return True

    async def _replay(self, holder: int, database: int, node: int) -> int:
        """Carry out the hints that `holder` keeps about `node`. Returns how many keys were copied."""
        name = self._hints(node)
        copied = 0
        while await self._leased(holder, b"hints:" + self._labels[node]):
            pairs = parse(await self._keys.ask(
                self.index, holder, database, b"ZRANGE", name, b"0", b"%d" % (BATCH - 1), b"WITHSCORES"
            ))
            if not pairs:
                break
            hints = dict(zip(pairs[::2], pairs[1::2], strict=True))
            done, open_ = await self._repair(database, list(hints), node)
            copied += done
            self.replayed[node] += len(hints) - len(open_)
            if not await self._drop(holder, database, name, hints, open_):
                break
        return copied

    async def _drop(
        self, holder: int, database: int, name: bytes, hints: dict[bytes, bytes], open_: set[bytes]
    ) -> bool:
        """Remove hints that are the same still, but those of keys that are `open_`; True if there may be more."""
        hints = {key: score for key, score in hints.items() if key not in open_}
        if not hints:
            return False
        ask = partial(self._keys.ask, self.index, holder, database, line=1)
        async with self._keys.alone(self.index, holder, database):
            for _ in range(TRIES):
                await ask(b"WATCH", name)
                now = parse(await ask(b"ZMSCORE", name, *hints))
                same = [key for key, score in zip(hints, now, strict=True) if score == hints[key]]
                if not same:
                    await ask(b"UNWATCH")
                    return False
                await ask(b"MULTI")
                await ask(b"ZREM", name, *same)
                if (await ask(b"EXEC")).startswith(b"*1"):
                    return True
        return False

    async def _repair(self, database: int, keys: Sequence[bytes], *targets: int) -> tuple[int, set[bytes]]:
        """Make keys the same at `targets` (none: wherever they are) as at the first node that serves.

        Returns how many were copied, and the keys that are not known to be the same: each is compared until it is,
        a moment after it was copied, a few times. Any number of proxies may do this at once: to each what another one
        does is a write like any other, and whoever copied what was old by then sees that and copies again.
        """
        copied = 0
        again: set[bytes] = set(keys)

        async def one(key: bytes) -> None:
            nonlocal copied
            everywhere = self._ring.candidates(key, self.settings.ring.copies)
            source = await self._source(database, key, *targets)
            if source is None:
                again.discard(key)
                return
            alike = True
            for target in targets or everywhere:
                if target == source or target not in everywhere or self.members[target].state > State.MENDING:
                    continue
                outcome = await self._keys.copy(self.index, database, key, source, target)
                alike = alike and outcome == SAME
                if outcome == COPIED:
                    self.mended[target] += 1
                    self.repaired[target] += not targets
                    copied += 1
            if alike and await self._source(database, key, *targets) == source:
                again.discard(key)

        for attempt in range(TRIES):
            await self._keys.each(sorted(again), one)
            if not again:
                break
            if attempt + 1 < TRIES:
                await trio.sleep(SETTLE)
        return copied, again

    async def _settle_doubts(self) -> None:
        """Compare keys of which a node's reply was another one than the first one's."""
        while self._doubts:
            holder, database, about = self._doubts.pop()
            name = OWN + b"doubts:" + self._labels[about]
            pairs = parse(await self._keys.ask(
                self.index, holder, database, b"ZRANGE", name, b"0", b"%d" % (BATCH - 1), b"WITHSCORES"
            ))
            hints = dict(zip(pairs[::2], pairs[1::2], strict=True))
            if hints:
                _, open_ = await self._repair(database, list(hints))
                await self._drop(holder, database, name, hints, open_)

    # -- everything ---------------------------------------------------------------------------------------------------

    async def _scan(self, node: int, database: int) -> AsyncIterator[list[bytes]]:
        """The keys of a node, our own left out."""
        cursor = b"0"
        while True:
            reply = await self._keys.ask(self.index, node, database, b"SCAN", cursor, b"COUNT", b"%d" % BATCH)
            head, found = elements(reply)
            keys = [key for key in parse(found) if not key.startswith(OWN)]
            if keys:
                yield keys
            cursor = parse(head)
            if cursor == b"0":
                return

    async def _give_all(self, node: int) -> int:
        """Everything that a node is to have, from the others; and what it has and they do not is deleted."""
        copied = 0
        for other in [*self._others(node), node]:
            for database in sorted(self._databases[other]):
                async for keys in self._scan(other, database):
                    mine = [
                        key for key in keys
                        if node in self._ring.candidates(key, self.settings.ring.copies)
                        and (other == node or self._first(key, node) == other)
                    ]  # fmt: skip
                    done, open_ = await self._repair(database, mine, node)
                    copied += done
                    for key in open_:
                        await self._hint(database, key, node)
        return copied

    async def _hint(self, database: int, key: bytes, node: int) -> None:
        """Note that a node misses a key, as the engines do."""
        holder = self._first(key, node)
        if holder is not None:
            moment = b"%d" % (time.time() * 1000)
            await self._keys.ask(self.index, holder, database, b"ZADD", self._hints(node), moment, key)

    async def compare_all(self) -> None:
        """Anti-entropy: walk over all keys of all nodes, at a pace, and mend what differs."""
        pace = self.settings.ring.anti_entropy
        while True:
            for node in range(len(self.members)):
                with suppress(ReplyError, ExceptionGroup):
                    for database in sorted(self._databases[node]):
                        if not await self._leased(node, b"compare"):
                            continue
                        async for keys in self._scan(node, database):
                            await self._leased(node, b"compare", LEASE + len(keys) / pace)
                            await self._compare(node, database, keys)
                            await trio.sleep(len(keys) / pace)
            await trio.sleep(1)

    async def _compare(self, node: int, database: int, keys: Sequence[bytes]) -> None:
        """Keys that this node is right about, everywhere; and those that it should not have."""
        suspects = []
        for key in keys:
            first = self._first(key)
            if first is None or self.members[node].state is not State.SERVES:
                continue
            for other in self._ring.candidates(key, self.settings.ring.copies):
                there = self.members[other].state is State.SERVES
                if first == node != other and there and not await self._keys.alike(
                    self.index, database, key, node, other
                ):
                    suspects.append(key)
                    break
            else:
                if first != node and node in self._ring.candidates(key, self.settings.ring.copies) and not integer(
                    await self._keys.ask(self.index, first, database, b"EXISTS", key)
                ):
                    suspects.append(key)
        if suspects:
            # What was on its way to one of them has arrived by then.
            await trio.sleep(SETTLE)
            copied, _ = await self._repair(database, suspects)
            if copied:
                log.info("mending.differed pool=%s keys=%d", self.settings.name, copied)
