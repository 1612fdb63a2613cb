"""A list and a sorted set as a few lines of Python: the judges of deque.pyx and ranking.pyx."""

from bisect import bisect_left, insort


class List:
    """A Python list with the commands' conventions."""

    def __init__(self) -> None:
        self.items: list[bytes] = []

    def push(self, item: bytes, front: bool) -> int:
        self.items.insert(0 if front else len(self.items), item)
        return len(self.items)

    def pop(self, count: int, front: bool) -> list[bytes]:
        count = min(count, len(self.items))
        if front:
            taken, self.items = self.items[:count], self.items[count:]
        else:
            taken, self.items = self.items[len(self.items) - count :][::-1], self.items[: len(self.items) - count]
        return taken

    def insert(self, pivot: bytes, item: bytes, behind: bool) -> int:
        if pivot not in self.items:
            return -1
        self.items.insert(self.items.index(pivot) + behind, item)
        return len(self.items)

    def remove(self, item: bytes, count: int) -> int:
        """count as LREM has it."""
        places = [place for place, other in enumerate(self.items) if other == item]
        chosen = places if count == 0 else places[:count] if count > 0 else places[count:]
        for place in reversed(chosen):
            del self.items[place]
        return len(chosen)

    def trim(self, start: int, end: int) -> None:
        """Both not negative, `end` included."""
        self.items = self.items[start : end + 1]


class SortedSet:
    """Members and scores, and all of them in a sorted list."""

    def __init__(self) -> None:
        self.scores: dict[bytes, float] = {}
        self.order: list[tuple[float, bytes]] = []

    def add(self, member: bytes, score: float) -> bool:
        new = not self.remove(member)
        self.scores[member] = score
        insort(self.order, (score, member))
        return new

    def remove(self, member: bytes) -> bool:
        if member not in self.scores:
            return False
        del self.order[bisect_left(self.order, (self.scores.pop(member), member))]
        return True

    def rank(self, member: bytes) -> int:
        return bisect_left(self.order, (self.scores[member], member))

    def cut(self, start: int, end: int) -> int:
        """Remove ranks from start up to, not including, end."""
        gone = self.order[start:end]
        for _, member in gone:
            del self.scores[member]
        del self.order[start:end]
        return len(gone)

    def between(self, low: float, high: float) -> int:
        return sum(low <= score <= high for score, _ in self.order)
