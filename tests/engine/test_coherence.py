"""A random walk over copies: two engines, one node, every connection moved by hand; each read judged, each step audited.

See tests/engine/world.py for what a read may return. The audit counts the marks: as many are open as writes are on
their way, and none when nothing is.
"""

from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from tests.engine.world import EAR, KEYS, World

PICK = st.integers(0, 1000)
TIMES = st.sampled_from([1, 20_000, 100_000, 300_000, 600_000, 1_100_000])
LIVES = st.sampled_from([10_000, 150_000, 2_000_000])
READS = st.sampled_from([[b"GET"], [b"GET"], [b"GET"], [b"STRLEN"]])
WRITES = st.sampled_from(["set", "set", "del", "px", "pexpire", "mset", "rename", "multi", "fcall", "undeclared", "flush",
                          "swap", "blpop"])  # fmt: skip


class Coherence(RuleBasedStateMachine):
    @initialize(tracked=st.sampled_from([True, True, True, False]), engines=st.integers(1, 2), tracks=st.booleans(),
                timeout_us=st.sampled_from([0, 1_000_000]))
    def start(self, tracked, engines, tracks, timeout_us):
        self.tracked = tracked
        self.world = World(engines, "tracked" if tracked else "ttl", 10_000_000 if tracked else 700_000,
                           tracks=tracks or tracked, timeout_us=timeout_us)
        self.serial = 0
        self.lost = []
        for index in range(4):
            self.world.open(index % engines, 2 + index // 2)
        if tracked:
            self.world.live()

    def teardown(self):
        if not hasattr(self, "world"):
            return
        self.reconnect()
        for caller in list(self.world.callers)[4:]:
            self.world.leave(caller)
        for _ in range(3):
            self.world.pass_time(200_000)
            self.world.settle()
            assert self.world.audit() == []

    def value(self):
        self.serial += 1
        return b"%d" % self.serial * (1 + self.serial % 7)

    def caller(self, pick):
        return self.world.callers[pick % len(self.world.callers)]

    def wire(self, pick):
        wires = list(self.world.wires.values())
        busy = [wire for wire in wires if wire.up or wire.down
                or self.world.engines[wire.engine].conn_state(self.world.name_of(wire))["output"]]
        return (busy or wires)[pick % len(busy or wires)] if wires else None

    @rule(pick=PICK, words=READS, key=st.sampled_from(KEYS), times=st.integers(1, 3))
    def read(self, pick, words, key, times):
        for _ in range(times):
            self.world.ask(self.caller(pick), *words, key)

    @rule(pick=PICK, kind=WRITES, which=st.integers(0, 1), life_us=LIVES, read=st.booleans())
    def write(self, pick, kind, which, life_us, read):
        caller, key, other = self.caller(pick), KEYS[which], KEYS[1 - which]
        ask = self.world.ask
        if kind in ("flush", "swap", "rename", "blpop") and pick % 3:
            kind = "set"
        if kind == "set":
            ask(caller, b"SET", key, self.value())
        elif kind == "del":
            ask(caller, b"DEL", key)
        elif kind == "px":
            ask(caller, b"SET", key, self.value(), b"PX", b"%d" % (life_us // 1000))
        elif kind == "pexpire":
            ask(caller, b"PEXPIRE", key, b"%d" % (life_us // 1000))
        elif kind == "mset":
            ask(caller, b"MSET", key, self.value(), other, self.value())
        elif kind == "rename":
            ask(caller, b"RENAME", key, other)
        elif kind == "multi":
            words = [b"SET", key, self.value()]
            self.world.transaction(caller, [words, [b"DEL", other]])
        elif kind == "fcall":
            ask(caller, b"FCALL", b"f", b"1", key, self.value())
        elif kind == "undeclared":
            ask(caller, b"FCALL", b"f", b"0", key, self.value())
        elif kind == "flush":
            ask(caller, b"FLUSHALL")
        elif kind == "swap" and len(self.world.engines) == 1 and not self.tracked:
            ask(caller, b"SWAPDB", b"0", b"1")
        elif kind == "blpop":
            ask(caller, b"BLPOP", key, b"0")
        if read:
            ask(caller, b"GET", key)

    @rule(which=st.integers(0, 1), database=st.integers(0, 1), missing=st.booleans(), expires=st.booleans(), life_us=LIVES)
    def written_elsewhere(self, which, database, missing, expires, life_us):
        self.world.write((database, KEYS[which]), None if missing else self.value(), life_us if expires else None)

    @rule(pick=PICK, step=st.integers(0, 2), most=st.sampled_from([1, 3, 50, 1 << 30]))
    def move(self, pick, step, most):
        wire = self.wire(pick)
        if wire is not None:
            getattr(self.world, ("transmit", "execute", "deliver")[step])(wire, most if step != 1 else 1 + most % 4)

    @rule(pick=PICK)
    def carry(self, pick):
        wire = self.wire(pick)
        if wire is not None:
            self.world.transmit(wire)
            self.world.execute(wire)
            self.world.deliver(wire)

    @rule()
    def settle(self):
        self.world.settle()

    @rule()
    def hear(self):
        """Only the ears: what was invalidated is known, what was answered is not."""
        self.world.pass_time(100_000)
        for wire in list(self.world.wires.values()):
            if wire.name == EAR:
                self.world.transmit(wire)
                self.world.execute(wire)
                self.world.deliver(wire)

    @rule(us=TIMES)
    def later(self, us):
        self.world.pass_time(us)

    @rule()
    def turn(self):
        self.world.turn()

    @rule(pick=PICK, executed=st.integers(0, 3))
    def lose(self, pick, executed):
        wire = self.wire(pick)
        if wire is not None and pick % 3 == 0:
            if len(wire.name) == 4:
                self.lost.append((wire.engine, wire.name))
            self.world.lose(wire, executed)

    @rule()
    def reconnect(self):
        for index, engine in enumerate(self.world.engines):
            for protocol in (2, 3):
                for database in (0, 1):
                    name = (0, protocol, database, 0)
                    if (index, name) not in self.world.wires:
                        self.world.connect(index, name)

    @rule(pick=PICK, protocol=st.integers(2, 3), database=st.integers(0, 1))
    def arrive(self, pick, protocol, database):
        if len(self.world.callers) < 7:
            self.world.open(pick % len(self.world.engines), protocol, database)

    @rule(pick=PICK)
    def leave(self, pick):
        if len(self.world.callers) > 3:
            self.world.leave(self.caller(pick))

    @rule(pick=PICK)
    def eject(self, pick):
        """Out and in again: what was copied is not to be trusted."""
        index = pick % len(self.world.engines)
        self.world.engines[index].eject(0, 0, True)
        self.world.turn()
        self.world.engines[index].eject(0, 0, False)
        self.world.turn()

    @invariant()
    def audited(self):
        if hasattr(self, "world"):
            self.world.collect()
            assert self.world.audit() == []


TestCoherence = Coherence.TestCase
TestCoherence.settings = settings(
    max_examples=150, stateful_step_count=60, deadline=None, suppress_health_check=list(HealthCheck))
