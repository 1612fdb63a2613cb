"""The hash table against a dict: any order of changes, across growing, moving and shrinking, with a SCAN under way."""

from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from tests.oracle.store import Store
from tests.store.conftest import Server, start_node
from tests.store.raw import info, pipeline, words

FAR_MS = 33_000_000_000_000

NUMBERS = st.integers(0, 300)
COUNTS = st.sampled_from([1, 3, 20, 150])


class Table(RuleBasedStateMachine):
    server: Server

    @initialize()
    def begin(self) -> None:
        self.connection = self.server.connect()
        self.connection("flushall")
        self.oracle = Store()
        self.cursor: bytes | None = None  # of the SCAN under way
        self.steady: set[bytes] = set()  # keys that have been there since it began
        self.seen: set[bytes] = set()

    def teardown(self) -> None:
        if hasattr(self, "connection"):
            self.connection.close()

    def key(self, number: int) -> bytes:
        return b"key:%d" % number

    @rule(start=NUMBERS, count=COUNTS, size=st.sampled_from([0, 1, 30, 200]), volatile=st.booleans())
    def set(self, start: int, count: int, size: int, volatile: bool) -> None:
        keys = [self.key(number) for number in range(start, start + count)]
        value = b"v" * size
        options = ("pxat", FAR_MS) if volatile else ()
        assert set(pipeline(self.connection, [("set", key, value, *options) for key in keys])) == {b"+OK\r\n"}
        for key in keys:
            self.oracle.set(key, value, FAR_MS if volatile else None)

    @rule(start=NUMBERS, count=COUNTS)
    def delete(self, start: int, count: int) -> None:
        keys = [self.key(number) for number in range(start, start + count)]
        replies = pipeline(self.connection, [("del", key) for key in keys])
        assert replies == [b":%d\r\n" % self.oracle.delete(key) for key in keys]
        self.steady -= set(keys)

    @rule(start=NUMBERS, count=COUNTS, over=st.booleans())
    def expire(self, start: int, count: int, over: bool) -> None:
        keys = [self.key(number) for number in range(start, start + count)]
        replies = pipeline(self.connection, [("pexpireat", key, 1 if over else FAR_MS) for key in keys])
        assert replies == [b":%d\r\n" % self.oracle.expire(key, FAR_MS) for key in keys]
        if over:
            for key in keys:
                self.oracle.delete(key)
            self.steady -= set(keys)

    @rule(start=NUMBERS, count=COUNTS)
    def persist(self, start: int, count: int) -> None:
        keys = [self.key(number) for number in range(start, start + count)]
        replies = pipeline(self.connection, [("persist", key) for key in keys])
        assert replies == [b":%d\r\n" % self.oracle.persist(key) for key in keys]

    @rule(old=NUMBERS, new=NUMBERS)
    def rename(self, old: int, new: int) -> None:
        reply = self.connection("rename", self.key(old), self.key(new))
        assert (reply == b"+OK\r\n") == self.oracle.rename(self.key(old), self.key(new))
        if old != new:
            self.steady.discard(self.key(old))

    @rule(number=NUMBERS)
    def get(self, number: int) -> None:
        value = self.oracle.live(0).get(self.key(number))
        expected = b"$-1\r\n" if value is None else b"$%d\r\n%s\r\n" % (len(value), value)
        assert self.connection("get", self.key(number)) == expected

    @rule()
    def random_key(self) -> None:
        reply = self.connection("randomkey")
        if self.oracle.keys:
            assert reply.split(b"\r\n")[1] in self.oracle.keys
        else:
            assert reply == b"$-1\r\n"

    @precondition(lambda self: self.cursor is None)
    @rule()
    def scan_begin(self) -> None:
        self.cursor = b"0"
        self.steady = set(self.oracle.keys)
        self.seen = set()
        self.scan_go_on()

    @precondition(lambda self: self.cursor is not None)
    @rule()
    def scan_go_on(self) -> None:
        assert self.cursor is not None
        reply = self.connection("scan", self.cursor, "count", 7)
        self.cursor = reply.split(b"\r\n")[2]
        found = words(reply.split(b"\r\n", 3)[3])
        assert set(found) <= set(self.oracle.keys), "SCAN showed a key that is gone"
        self.seen |= set(found)
        if self.cursor == b"0":
            assert self.steady <= self.seen, "SCAN missed a key that was there all along"
            self.cursor = None

    @invariant()
    def agrees(self) -> None:
        if not hasattr(self, "connection"):
            return
        assert self.connection("dbsize") == b":%d\r\n" % len(self.oracle.keys)
        keys = words(self.connection("keys", "*"))
        assert len(keys) == len(set(keys)), "KEYS showed a key twice"
        assert set(keys) == set(self.oracle.keys)
        volatile = sum(expiry is not None for _, expiry in self.oracle.keys.values())
        if self.oracle.keys:
            line = b"db0:keys=%d,expires=%d," % (len(self.oracle.keys), volatile)
            assert line in self.connection("info", "keyspace")


def test_table_against_dict(node: Server) -> None:
    Table.server = node
    machine = Table.TestCase
    machine.settings = settings(
        max_examples=40, stateful_step_count=40, deadline=None, suppress_health_check=list(HealthCheck)
    )
    machine().runTest()


def test_memory_returns_to_the_start(node: Server) -> None:
    """The accounting is exact: after any changes and a flush, used_memory is what it was."""
    with node.connect() as connection:
        connection("flushall")
        before = info(connection, "memory", "used_memory")
        for size in (0, 5, 100, 5000):
            pipeline(connection, [("set", f"k{n}", b"x" * (size + n % 7)) for n in range(3000)])
            pipeline(connection, [("append", f"k{n}", b"x" * (n % 50)) for n in range(0, 3000, 3)])
            pipeline(connection, [("pexpireat", f"k{n}", FAR_MS) for n in range(0, 3000, 5)])
            pipeline(connection, [("rename", f"k{n}", f"m{n}") for n in range(0, 3000, 7)])
            pipeline(connection, [("del", f"k{n}") for n in range(0, 3000, 2)])
            assert info(connection, "memory", "used_memory") > before + 1500 * (size + 24)
        connection("flushall")
        assert info(connection, "memory", "used_memory") == before


def test_scan_is_complete_while_the_table_grows_and_shrinks() -> None:
    """Far more keys than one housekeeping moves, so that most of these SCANs see two arrays."""
    server = start_node("--maxmemory", "0")
    try:
        with server.connect() as connection:
            for start in range(0, 60000, 6000):
                pipeline(connection, [("set", f"k{n}", n) for n in range(start, start + 6000)])
                cursor, seen = b"0", set()
                while True:
                    reply = connection("scan", cursor, "count", 1000)
                    cursor = reply.split(b"\r\n")[2]
                    seen |= set(words(reply.split(b"\r\n", 3)[3]))
                    if cursor == b"0":
                        break
                assert len(seen) == start + 6000
            pipeline(connection, [("del", f"k{n}") for n in range(100, 60000)])
            assert sorted(words(connection("keys", "*"))) == sorted(b"k%d" % n for n in range(100))
    finally:
        assert server.stop() == 0
