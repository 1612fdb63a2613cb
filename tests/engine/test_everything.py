"""Everything at once: a random walk over clients, nodes, time, failures and orders, audited after every step.

The model: a client's stream of replies is, request by request, either exactly what its node (or the engine) answers,
or an error of the proxy's own; nothing is lost, doubled, or given to anybody else. Writes answered +OK reached a node.
Values carry the number of the request, so a reply that goes astray is seen.
"""

from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from tests.engine.harness import CHUNK, MOVE_AT, TestNode, build, conn, serve, settle
from tests.helpers import request
from tests.oracle.resp import frame_replies, frame_requests

SIZES = st.sampled_from([0, 1, 50, 1000, CHUNK - 30, CHUNK, MOVE_AT - 30, MOVE_AT, 70_000])
PIECES = st.sampled_from([1, 2, 17, 1000, 20_000, 1 << 22])
TIMES = st.sampled_from([1, 9_999, 10_000, 400_000, 1_000_000, 70_000_000])
PROTOCOLS, DATABASES = (2, 3), (0, 1)


class Everything(RuleBasedStateMachine):
    @initialize(
        nodes=st.integers(1, 4), window=st.sampled_from([1, 3, 1024]), timeout=st.sampled_from([0, 1_000_000]),
        output_soft=st.sampled_from([0, 1000, 1 << 20]), input_limit=st.sampled_from([60_000, 1 << 30]),
        backlog=st.sampled_from([1000, 1 << 26]), bulk=st.sampled_from([50_000, 256 << 10]),
        tombstones=st.sampled_from([2, 1000]), nil_on_error=st.booleans(), auto_eject=st.booleans())
    def start(self, nodes, timeout, tombstones, nil_on_error, auto_eject, **limits):
        self.count = nodes
        self.nil_on_error, self.auto_eject = nil_on_error, auto_eject
        self.engine = build(nodes, timeout_us=timeout, most_tombstones=tombstones, nil_on_error=nil_on_error,
                            auto_eject=auto_eject, **limits)
        self.names = [conn(node, protocol, database, heavy) for node in range(nodes) for protocol in PROTOCOLS
                      for database in DATABASES for heavy in (0, 1)]
        for name in self.names:
            self.engine.connect(*name)
        self.served = {name: AnyNode(name[0], nodes) for name in self.names}
        self.coming = dict.fromkeys(self.names, b"")
        self.clients = []
        self.asked, self.outbox, self.got, self.control = {}, {}, {}, {}
        self.number = 0
        for _ in range(2):
            self.arrive()

    def some(self, pick, things):
        return things[pick % len(things)]

    def active(self):
        """The names whose connections have something to do, or all."""
        busy = [name for name in self.names if self.coming[name] or self.engine.conn_state(name)["pending"]]
        return busy or self.names

    # -- clients ------------------------------------------------------------------------------------------------------

    @rule()
    def arrive(self):
        if len(self.clients) < 5:
            client = self.engine.open()
            self.clients.append(client)
            self.asked[client], self.outbox[client], self.got[client] = [], b"", b""

    @precondition(lambda self: len(self.clients) > 1)
    @rule(pick=st.integers(0, 99))
    def leave(self, pick):
        client = self.some(pick, self.clients)
        self.clients.remove(client)
        self.engine.close(client)

    @rule(pick=st.integers(0, 99), kind=st.sampled_from(
        ["GET", "GET", "GET", "SET", "SET", "MGET", "MSET", "DEL", "PING", "SELECT", "HELLO", "INFO", "*0"]),
        size=SIZES, times=st.integers(1, 4), keys=st.integers(1, 5))
    def ask(self, pick, kind, size, times, keys):
        client = self.some(pick, self.clients)
        for _ in range(times):
            self.number += 1
            names = [b"k%d.%d:%d" % (self.number, index, size) for index in range(keys)]
            args = {
                "GET": [b"GET", names[0]], "SET": [b"SET", names[0], b"v" * size], "MGET": [b"MGET", *names],
                "MSET": [b"MSET", *(part for name in names for part in (name, b"x" * (size // 4)))],
                "DEL": [b"DEL", *names], "PING": [b"PING", b"%d" % self.number],
                "SELECT": [b"SELECT", b"%d" % (self.number % 2)], "HELLO": [b"HELLO", b"%d" % (2 + self.number % 2)],
                "INFO": [b"INFO", b"%d" % self.number], "*0": [],
            }[kind]
            if args:
                self.asked[client].append(args)
            self.outbox[client] += request(*args)
        if pick % 3:
            self.feed(pick, 1 << 30)

    @rule(pick=st.integers(0, 99), size=PIECES)
    def feed(self, pick, size):
        client = self.some(pick, self.clients)
        self.outbox[client] = self.outbox[client][self.engine.feed(client, self.outbox[client][:size]) :]

    @rule(pick=st.integers(0, 99), size=PIECES)
    def read(self, pick, size):
        client = self.some(pick, self.clients)
        self.got[client] += self.engine.take(client, size)

    # -- nodes --------------------------------------------------------------------------------------------------------

    @rule(pick=st.integers(0, 99), size=PIECES)
    def send(self, pick, size):
        name = self.some(pick, self.active())
        replies = self.served[name].receive(self.engine.sent(name, size))
        if name[1] == 3 and replies and pick % 2:
            replies.insert(0, b">2\r\n+push\r\n$2\r\nhi\r\n")
        self.coming[name] += b"".join(replies)

    @rule(pick=st.integers(0, 99), size=PIECES)
    def reply(self, pick, size):
        name = self.some(pick, self.active())
        self.engine.answer(name, self.coming[name][:size])
        self.coming[name] = self.coming[name][size:]
        self.forget_lost()

    @rule(pick=st.integers(0, 99))
    def fail(self, pick):
        self.engine.fail(self.some(pick, self.active()), b"gone")
        self.forget_lost()

    @rule(pick=st.integers(0, 99))
    def give_up(self, pick):
        self.engine.node_down(0, pick % self.count, b"no address")
        self.engine.turn()

    @rule(pick=st.integers(0, 99), ejected=st.booleans())
    def eject(self, pick, ejected):
        self.engine.eject(0, pick % self.count, ejected)
        self.engine.turn()

    @rule()
    def reconnect(self):
        for name in self.names:
            self.engine.connect(*name)

    def forget_lost(self):
        """What was on a connection that broke never arrives."""
        for name in self.names:
            if self.engine.conn_state(name)["state"] != "open":
                self.coming[name], self.served[name].inbox = b"", b""

    # -- time and the control plane -----------------------------------------------------------------------------------

    @rule(us=TIMES, busy=st.booleans())
    def later(self, us, busy):
        self.engine.advance(us)
        self.engine.turn(busy)
        self.forget_lost()

    @rule()
    def answer_control(self):
        for kind, _, _, _, pointer, slot, _, data in self.engine.events():
            if kind == 1:
                self.engine.reply(pointer, slot, b"+" + data.split(b"\r\n")[4] + b"\r\n")
        self.engine.turn()

    # -- what has to hold ---------------------------------------------------------------------------------------------

    @invariant()
    def audited(self):
        if hasattr(self, "engine"):
            assert self.engine.audit() == []

    def teardown(self):
        if not hasattr(self, "engine"):
            return
        for node in range(self.count):
            self.engine.eject(0, node, False)
        for _ in range(3000):
            self.reconnect()
            for client in self.clients:
                self.feed(self.clients.index(client), 1 << 30)
                self.got[client] += self.engine.take(client)
            for name in self.names:
                self.coming[name] += b"".join(self.served[name].receive(self.engine.sent(name)))
                self.engine.answer(name, self.coming[name])
                self.coming[name] = b""
            self.forget_lost()
            self.engine.advance(1_000_000)
            self.answer_control()
            if not any(self.outbox[client] or self.engine.state(client)["owed"] or self.engine.state(client)["input"]
                       or self.engine.state(client)["output"] for client in self.clients):
                break
        else:
            raise AssertionError({client: self.engine.state(client) for client in self.clients})
        settle(self.engine)
        seen = {args[1] for node in self.served.values() for args in node.seen if args[0] == b"SET"}
        for client in self.clients:
            self.compare(client, seen)
        counters = self.engine.counters()
        assert counters["input_reserved"] == 0 and counters["chunk_bytes"] <= 200 * 16384
        for name in self.names:
            assert self.engine.conn_state(name)["pending"] == self.engine.conn_state(name)["expired"] == 0
        for client in self.clients:
            assert self.engine.state(client)["references"] == 0

    def compare(self, client, seen):
        framing = frame_replies(self.got[client])
        assert framing.error is None and framing.left == 0
        assert len(framing.items) == len(self.asked[client])
        protocol = 2
        for reply, args in zip(framing.items, self.asked[client], strict=True):
            if args[0] == b"HELLO":
                protocol = int(args[1])
                assert reply.startswith(b"%7" if protocol == 3 else b"*14")
            elif args[0] == b"SELECT":
                assert reply == b"+OK\r\n"
            elif args[0] == b"PING":
                assert reply == b"$%d\r\n%s\r\n" % (len(args[1]), args[1])
            elif args[0] == b"INFO":
                assert reply == b"+" + args[1] + b"\r\n"
            elif args[0] == b"MGET" and self.nil_on_error and not reply.startswith(b"-"):
                nil = b"_\r\n" if protocol == 3 else b"$-1\r\n"
                elements = frame_replies(reply.partition(b"\r\n")[2]).items
                assert len(elements) == len(args) - 1
                for element, key in zip(elements, args[1:], strict=True):
                    assert element in (nil, serve([b"GET", key]))
            elif not reply.startswith(b"-ERR "):
                assert reply == serve(args)
                assert args[0] != b"SET" or args[1] in seen


class AnyNode(TestNode):
    """A node that takes keys of others too: those of ejected nodes come to it."""

    def receive(self, data):
        self.inbox += data
        framing = frame_requests(self.inbox)
        assert framing.error is None
        self.inbox = self.inbox[len(self.inbox) - framing.left :]
        self.seen += framing.items
        return [serve(args) for args in framing.items]



TestEverything = Everything.TestCase
TestEverything.settings = settings(
    max_examples=40, stateful_step_count=80, deadline=None, suppress_health_check=list(HealthCheck))
