"""Book: what clients did to one key under one name. A shelf has one open book of each kind, and judges closed ones.

A book is closed after so many requests or unknown fates, because the search for an order grows with both; its key goes
on under another name. The last entry is a look at what is left, so an increment that was lost is missed at the end.
"""

from __future__ import annotations

import itertools
import math
import threading
import time
from collections.abc import Callable, Hashable
from concurrent.futures import Future, ProcessPoolExecutor
from dataclasses import dataclass
from multiprocessing import get_context
from typing import Any

from tests.counters.kinds import KINDS, Request
from tests.proof.linear import ANY, Operation, Verdict, linearizable
from tests.proof.models import OVERFLOW, harmless

REQUESTS = 1500  # of a book
FATES = 8  # that may be unknown
SECONDS = 6.0  # that one is open
SLACK = 0.005  # seconds: clocks of nodes count milliseconds, and stand still for a turn
WITHIN = 60.0  # seconds for the search


@dataclass(frozen=True)
class Entry:
    """What became of a request. Without an end nobody was told."""

    request: Request
    began: float
    ended: float = math.inf
    answer: Any = ANY


class Book:
    def __init__(self, name: str, tag: str, kind: str, node: int) -> None:
        self.name, self.tag, self.kind, self.node = name, tag, kind, node
        self.history: list[Operation] = []
        self.users = 0
        self.unknown = 0
        self._opened = time.monotonic()

    @property
    def full(self) -> bool:
        return (len(self.history) >= REQUESTS or self.unknown >= FATES
                or time.monotonic() > self._opened + SECONDS)  # fmt: skip

    def enter(self, entry: Entry, session: Hashable = None) -> None:
        call = entry.request.call
        field = call[1] if call[0] == "HINCRBY" else None  # increments of several fields may overtake each other
        if entry.answer == OVERFLOW:
            rest, sign = call[1:-1], math.copysign(1, call[-1])
            call = ("FIELD NEAR THE END" if rest else "NEAR THE END", *rest, int(sign))
        asked = Operation(call, entry.began, entry.ended, entry.answer, session, field)
        self.history.append(asked)
        self.unknown += entry.ended == math.inf
        for number, life in entry.request.lives:
            # Of an unknown fate it need not have begun to run.
            last = entry.ended + life + SLACK
            self.history.append(Operation(("RUN OUT", number), entry.began + life - SLACK, last, after=asked))

    def wiped(self, began: float, ended: float) -> None:
        """Its node came back without it."""
        self.history.append(Operation(("WIPE",), began, ended))


def judge(kind: str, history: list[Operation], within: float = WITHIN) -> Verdict:
    """In another process."""
    return linearizable(history, KINDS[kind].model, harmless, within=within)


class Shelf:
    """All books. `tags`: by kind of key, hash tags with the number of the node that each lives on."""

    def __init__(self, tags: list[tuple[str, str, int]]) -> None:
        self._lock = threading.Lock()
        self._generation = itertools.count()
        self._open = [self._book(tag, kind, node) for tag, kind, node in tags]
        self._closing: list[Book] = []
        self._judged: list[tuple[Book, Future[Verdict]]] = []
        self._pool = ProcessPoolExecutor(1, get_context("spawn"))
        self.outages = {node: threading.Lock() for _, _, node in tags}  #: held while a node is away

    def _book(self, tag: str, kind: str, node: int) -> Book:
        return Book(f"{kind}:{{{tag}}}:{next(self._generation)}", tag, kind, node)

    def take(self, choose: Callable[[list[Book]], Book]) -> Book:
        """An open book, to be given back."""
        with self._lock:
            for place, book in enumerate(self._open):
                if book.full:
                    self._closing.append(book)
                    self._open[place] = self._book(book.tag, book.kind, book.node)
            book = choose(self._open)
            book.users += 1
            return book

    def give_back(self, book: Book, entries: list[Entry], session: Hashable) -> None:
        """With what one session did, in the order in which it was sent."""
        with self._lock:
            for entry in entries:
                book.enter(entry, session)
            book.users -= 1

    def wipe(self, node: int, began: float, ended: float) -> None:
        """With the lock of its outage held."""
        with self._lock:
            for book in [*self._open, *self._closing]:
                if book.node == node:
                    book.wiped(began, ended)

    def close_all(self) -> None:
        with self._lock:
            self._closing += self._open
            self._open = []

    def closed(self) -> list[Book]:
        """Those that nobody writes any more: each has to be finished."""
        with self._lock:
            return [book for book in self._closing if not book.users]

    def finish(self, book: Book, look: Callable[[Book], Entry]) -> None:
        """Look at what is left, while the node is there, and have all of it judged."""
        with self.outages[book.node]:
            entry = look(book)
            with self._lock:
                book.enter(entry)
                self._closing.remove(book)
        self._judged.append((book, self._pool.submit(judge, book.kind, book.history)))

    def verdicts(self, wait: bool = False) -> list[tuple[Book, Verdict]]:
        """Those that are new; or, in the end, all that are left."""
        ready = [(book, future) for book, future in self._judged if wait or future.done()]
        self._judged = [(book, future) for book, future in self._judged if (book, future) not in ready]
        return [(book, future.result()) for book, future in ready]

    def __enter__(self) -> Shelf:
        return self

    def __exit__(self, *_: object) -> None:
        self._pool.shutdown(cancel_futures=True)
