"""Clients that count, each a thread with connections of its own; what they saw goes into the books."""

from __future__ import annotations

import re
import threading
import time
from typing import Any

import hiredis

from tests.counters.books import Book, Entry, Shelf
from tests.counters.kinds import KINDS, Request, answer_of
from tests.proof.actors import FAILURES, Actor, Tally
from tests.proof.models import MISTAKES, READS
from tests.system.tier import Node, Proxy

UNKNOWN = re.compile("ERR the fate of")
OF_READS = re.compile("did not answer|was lost .* into")  #: what only a read may be told


class Scene:
    """What all threads share."""

    def __init__(self, nodes: list[Node], proxies: list[Proxy], shelf: Shelf) -> None:
        self.nodes, self.proxies, self.shelf = nodes, proxies, shelf
        self.tally = Tally()
        self.over = threading.Event()


class Client(Actor):
    """Pipelines through one proxy or another, of requests about one key."""

    scene: Scene

    def __init__(self, scene: Scene, seed: int) -> None:
        super().__init__(scene, seed)
        self._protocol = self.dice.choice((2, 3))

    def step(self) -> None:
        link = self.link(self.dice.choice(self.scene.proxies).address, self._protocol, 0)
        leaving = self.dice.random() < 0.01
        book = self.scene.shelf.take(self.dice.choice)
        requests: list[Request] = []
        for _ in range(1 if leaving else self.dice.choice((1, 1, 1, 2, 4))):
            requests += KINDS[book.kind].draw(book.name, self.dice)
        entries: list[Entry] = []
        settled = 0
        began = time.monotonic()
        try:
            link.send(*(words for request in requests for words in request.words))
            for request in () if leaving else requests:
                reply = link.replies(len(request.words))[-1]
                entries += self.entries(request, began, reply)
                settled += 1
            if leaving:
                self.drop()
        finally:  # whatever became of the connection
            lost = requests[settled:]
            self.scene.tally.count("unknown fates: client left" if leaving else "unknown fates: not told", len(lost))
            entries += [Entry(request, began) for request in lost if request.call[0] not in READS]
            self.scene.shelf.give_back(book, entries, f"{self.name}, {link.number}")

    def entries(self, request: Request, began: float, reply: Any) -> list[Entry]:
        """One, or none: what an error says did not happen leaves no trace."""
        ended = time.monotonic()
        answer = answer_of(request.call, reply)
        tally = self.scene.tally
        if not isinstance(answer, hiredis.ReplyError):
            tally.count("acknowledged")
            return [Entry(request, began, ended, answer)]
        text = str(answer)
        if text in MISTAKES:
            tally.count("answered with Redis's own error")
            return [Entry(request, began, ended, text)]
        if UNKNOWN.match(text):
            tally.count("unknown fates")
            return [Entry(request, began)]
        if request.call[0] not in READS and OF_READS.search(text):
            tally.violation(f"{self.name}: {request.words} was told {text!r}")
        tally.count("did not happen")
        return []


class Auditor(Actor):
    """Looks at the end of each book, and hands it to the judge."""

    scene: Scene

    def step(self) -> None:
        for book in self.scene.shelf.closed():
            self.scene.shelf.finish(book, self.look)
        self.tell(wait=False)
        self.scene.over.wait(0.05)

    def look(self, book: Book) -> Entry:
        request = KINDS[book.kind].look(book.name, self.dice)
        for attempt in range(400):
            try:
                began = time.monotonic()
                reply = self.link(self.scene.proxies[attempt % 2].address, 2, 0)(*request.words[0])
                if not isinstance(reply, hiredis.ReplyError):
                    return Entry(request, began, time.monotonic(), answer_of(request.call, reply))
            except FAILURES:
                self.drop()
            time.sleep(0.05)
        self.scene.tally.violation(f"{book.name} cannot be read any more")
        return Entry(request, began)

    def tell(self, wait: bool) -> None:
        for book, verdict in self.scene.shelf.verdicts(wait):
            self.scene.tally.count("histories")
            self.scene.tally.count("operations", len(book.history))
            self.scene.tally.count("steps of the search", verdict.steps)
            if verdict.valid is None:
                self.scene.tally.count("histories undecided")
            elif not verdict.valid:
                self.scene.tally.violation(f"{book.name}, of {len(book.history)} operations: {verdict}")

    def finish(self) -> None:
        """After everybody else has ended."""
        self.scene.shelf.close_all()
        for book in self.scene.shelf.closed():
            self.scene.shelf.finish(book, self.look)
        self.tell(wait=True)
        self.drop()
