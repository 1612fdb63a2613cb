"""CLIENT TRACKING: the bytes of redis-server, no stale read in any mode, and no memory that clients leave behind."""

import random
import time
from collections.abc import Callable

import hiredis
import pytest

from tests.store.conftest import Server
from tests.store.raw import info, pipeline
from tests.store.stage import compare

OPTIONS = """
A client tracking
A client tracking maybe
A client tracking on foo
A client tracking on optin optout
A client tracking on bcast optin
A client tracking on prefix a
A client tracking on redirect 99999999
A client tracking on redirect abc
A client tracking on redirect -1
A client tracking on redirect 0
A client tracking on redirect
A client tracking on redirect @A redirect @A
A client tracking on bcast prefix
A client tracking off bcast
A client tracking off optin optout prefix a
A client tracking maybe redirect 99999999
A client caching yes
A client caching
A client caching maybe
A client getredir
A client trackinginfo
A client tracking on
A client trackinginfo
A client getredir
A client caching yes
A client caching no
A client caching maybe
A client tracking on optin
A client tracking on bcast
A client tracking on optin noloop; client trackinginfo
A client tracking on; client trackinginfo
A client tracking off
A client tracking on optin
A client trackinginfo
A client caching no
A client caching yes; client trackinginfo; client caching maybe; client trackinginfo
A client caching yes; get a; client trackinginfo
A client caching yes; nonsense; client trackinginfo
A client caching yes; get; client trackinginfo
A client tracking on optout
A client tracking off
A client tracking on optout noloop; client trackinginfo
A client caching yes
A client caching no; client trackinginfo
A client tracking off; client trackinginfo
A client tracking on bcast prefix foo prefix bar; client trackinginfo
A client tracking on bcast prefix foobar
A client tracking on bcast prefix fo
A client tracking on bcast prefix zap; client trackinginfo
A client tracking on bcast prefix zap
A client tracking on; client tracking on bcast; client trackinginfo
A client tracking on bcast noloop prefix q prefix qa
A client tracking off
A client tracking on bcast prefix a prefix ab; client trackinginfo
A client tracking on bcast prefix prefix prefix redirect redirect @A; client trackinginfo
A reset; client trackinginfo
A client tracking on bcast
A client tracking on bcast prefix a
A client tracking on bcast; client trackinginfo
"""

READS = """
A client tracking on
A get a; mget b c d
B set a 1
B set a 2
B mset b 1 x 2 d 3
A get a; set a 3; get a; append a 4
A get a; get b; get c; del a b c
A get one; get two; get a
B rename d e
B set one 1
A mget one two
B renamenx one two
A hget h f; smembers s; zrange z 0 -1; lrange l 0 -1; strlen t; exists u v w; ttl t2; object encoding oe
B hset h f v; sadd s m; zadd z 1 m; rpush l 1; append t x; mset u 1 v 2 w 3; set t2 1; set oe 1
A sinter s1 s2; zunion 2 z1 z2; zinter 1 z3 withscores; zdiff 2 z4 z5; zintercard 1 z6; sintercard 1 s3 limit 1
B sadd s1 1; sadd s2 1; zadd z1 1 1; zadd z2 1 1; zadd z3 1 1; zadd z4 1 1; zadd z5 1 1; zadd z6 1 1; sadd s3 1
A zunion 5 z1 z2; zunion x z1
B del z1 z2 z3
A get h; getdel s1; getset gs 1; incr i; lcs t u
B del h s1 gs i; set t 1; set u 1
A dbsize; get none
B set none 1
A get a; select 1
B set a 9
A get sel
B set sel 1
A get ex
B setex ex 100 v
A get ex
B expire ex 200
A get ex
B persist ex
A get ex
B expire ex -1
A get ex; pexpire ex 100
A get mv
B set mv 1; move mv 1
A get mv; copy mv mv2; get mv2
B select 1; copy mv mv2 replace; select 0
A get f
B flushall
B set f 1
A get f; flushdb; get f
B flushdb async
C client tracking on noloop
C get a; get b; set a 1; get a
B set a 2; set b 2
C get b; flushall
A client tracking off
C client tracking off
B flushall
A get a; client tracking on
B set a 1
"""

CACHING = """
A hello 2
A client tracking on
A get a; set a 1
A hello 3
O hello 3
O client tracking on optin
O get a; client caching yes; get b; get c
B mset a 1 b 1 c 1
O client caching yes; client getname; get a; get b
B mset a 2 b 2
O client caching yes; ping; get a
B set a 3
O client caching yes; set d 1; get d
B set d 2
O client tracking off
P hello 3
P client tracking on optout
P get a; client caching no; get b; get c
B mset a 1 b 1 c 1
P hello 2
P get a; get b
B mset a 1 b 1 c 1
P hello 3; get a; reset
B set a 4
"""

BROADCAST = """
A hello 3
A client tracking on bcast prefix foo prefix bar prefix zap
B set foo1 2
B mset foo2 1 bar1 1 foo1 3 zap1 4 none 1
A set foo3 1
A mset foo4 4 bar4 3; get foo4; del foo4
B set foo 1; set fo 1; set f 1; set fop 1; append foo2 x; append foo2 x
C hello 3
C client tracking on bcast noloop
C mset foo1 1 q 1
A mset foo1 1 q 1
C set q 2; incr q
B set q 3; set r 1
C client tracking on bcast; set q 1
B flushdb
A flushdb
B select 3; set foo9 1; select 0
A client tracking off
B set foo9 1
C client tracking off
B set foo9 1; flushall
C client tracking on bcast prefix a prefix b
D hello 3
D client tracking on bcast prefix a
B set a1 1; set b1 2
C close
B set a1 1; set b1 2
D close
B set a1 1; set b1 2
"""

BLOCKS = """
A client tracking on
A get a; get b; get c
A multi; set a 1; get a; get b; set b 1; get d; exec
B multi; set c 1; set d 1; set a 1; exec
A get a; get b
A multi; flushall; get a; exec
B set a 2
A client tracking off
A client tracking on optin
A client caching yes; multi; get a; get b; exec; get c
B mset a 1 b 1 c 1
A multi; client caching yes; get a; get b; exec; get c
B mset a 1 b 1 c 1
A multi; get a; client caching yes; client getname; exec; get b
B mset a 1 b 1 c 1
A multi; client tracking off; client tracking on; get a; exec
B del a b c
B client tracking on; lrange list 0 -1; rpush list 1; lrange list 0 -1
C hello 3; client tracking on; lrange list 0 -1; llen z
C blocks blpop list 0
B multi; rpush list 2 3; client getname; exec
C goes on
C lrange list 0 -1; zrange z 0 -1
C blocks bzpopmin z 0
B zadd z 1 m 2 n
C goes on
A client tracking off
A client tracking on bcast
A multi; set foo8 1; set foo7 1; exec
B multi; set foo8 1; set foo7 1; exec; set foo1 1
"""

REDIRECT = """
A hello 3
C hello 3
A client tracking on redirect @A; client trackinginfo
A get k
B set k 1
A client tracking off
A client tracking on redirect @C; client trackinginfo
A get k
B set k 1
A get k; set k 1
A get k
B set k 2
B flushall
A flushall
A client tracking on bcast redirect @C
A client tracking off
A client tracking on bcast redirect @C prefix k; set k 3
C mset k 1 k1 1
B mset k 1 k1 1
A client tracking off
A client tracking on redirect @B
A get k
C set k 1
A get k1; get k2
B close
C set k1 2
A client trackinginfo
C set k1 3; flushdb
A get k1
C set k1 3
A client tracking off; client trackinginfo
A client tracking on bcast redirect @C prefix k
C close
B set k1 4
A client trackinginfo
B flushall
A hello 2
B set k1 4; flushall
A client tracking off; client getredir
"""


@pytest.mark.parametrize("script", [OPTIONS, READS, CACHING, BROADCAST, REDIRECT, BLOCKS], ids=[
    "options", "reads", "caching", "broadcast", "redirect", "blocks"])
@pytest.mark.parametrize("version", [2, 3])
def test_the_bytes_are_those_of_redis(node: Server, reference: Server, script: str, version: int) -> None:
    compare(node, reference, f"A hello {version}\nC hello {version}\n{script}")


def test_expired_and_evicted_keys_are_invalidated(new_node: Callable[..., Server]) -> None:
    server = new_node("--maxmemory", "1mb")
    with server.connect() as cache, server.connect() as other:
        cache("hello", 3)
        assert cache("client", "tracking", "on") == b"+OK\r\n"
        other("set", "short", "1", "px", "20")
        assert cache("get", "short") == b"$1\r\n1\r\n"
        assert cache.reply() == b">2\r\n$10\r\ninvalidate\r\n*1\r\n$5\r\nshort\r\n"  # by the sweep
        other("set", "victim", "1")
        assert cache("get", "victim") == b"$1\r\n1\r\n"
        pipeline(other, [("set", f"key:{number}", "x" * 1000) for number in range(20000)])
        assert cache.reply() == b">2\r\n$10\r\ninvalidate\r\n*1\r\n$6\r\nvictim\r\n"


def test_noloop_hides_only_own_writes(new_node: Callable[..., Server]) -> None:
    """A key that goes while a NOLOOP client is served, but not by its will, is told."""
    server = new_node("--maxmemory", "0")
    with server.connect() as cache:
        cache("hello", 3)
        cache("debug", "set-active-expire", "0")
        assert cache("client", "tracking", "on", "noloop") == b"+OK\r\n"
        cache("psetex", "k", "200", "v")
        assert cache("get", "k") == b"$1\r\nv\r\n"
        time.sleep(0.21)
        assert cache("exists", "k") == b":0\r\n"
        assert cache.reply() == b">2\r\n$10\r\ninvalidate\r\n*1\r\n$1\r\nk\r\n"


def test_swapdb_invalidates_everything(node: Server) -> None:
    with node.connect() as cache, node.connect() as other:
        cache("hello", 3)
        cache("client", "tracking", "on")
        cache("get", "k")
        assert other("swapdb", "3", "4") == b"+OK\r\n"
        assert cache.reply() == b">2\r\n$10\r\ninvalidate\r\n_\r\n"


def test_the_table_is_bounded(new_node: Callable[..., Server]) -> None:
    server = new_node("--maxmemory", "0")
    with server.connect() as cache, server.connect() as other:
        cache("hello", 3)
        cache("client", "tracking", "on")
        assert other("config", "set", "tracking-table-max-keys", "100") == b"+OK\r\n"
        held = set()

        def take(reply: bytes) -> bool:
            """True: it was an invalidation."""
            if reply.startswith(b">"):
                name = reply.split(b"\r\n")[-2]
                assert name in held, "invalidated twice, or never read"
                held.discard(name)
                return True
            return False

        for number in range(1000):
            held.add(b"key:%d" % number)
            reply = cache("get", f"key:{number}")
            while take(reply):
                reply = cache.reply()
        while take(reply := cache("ping")):
            assert cache.reply() == b"+PONG\r\n"
        assert len(held) == 100 == info(other, "stats", "tracking_total_keys")
        assert other("config", "set", "tracking-table-max-keys", "10") == b"+OK\r\n"
        for _ in range(90):
            assert take(cache.reply())
        assert info(other, "stats", "tracking_total_keys") == len(held) == 10
        assert cache("mget", *sorted(held)) == b"*10\r\n" + b"_\r\n" * 10
        assert info(other, "stats", "tracking_total_items") == 10


def test_many_clients_of_one_key(new_node: Callable[..., Server]) -> None:
    """Clients that come and go leave nothing behind in the entry of a key that is never written."""
    server = new_node("--maxmemory", "0")
    with server.connect() as other:
        for generation in range(20):
            caches = [server.connect() for _ in range(50)]
            for cache in caches:
                cache.send(b"HELLO 3\r\nCLIENT TRACKING ON\r\nGET k\r\nGET k\r\n")
            for cache in caches:
                for _ in range(4):
                    cache.reply()
            if generation < 19:
                for cache in caches:
                    cache.close()
        assert 50 <= info(other, "stats", "tracking_total_items") <= 1000
        other("set", "k", "1")
        for cache in caches:
            assert cache.reply() == b">2\r\n$10\r\ninvalidate\r\n*1\r\n$1\r\nk\r\n"
            cache("get", "k")
            cache.close()
        other("get", "x")
        give_up = time.monotonic() + 10
        while info(other, "stats", "tracking_total_keys") and time.monotonic() < give_up:
            time.sleep(0.05)
        assert info(other, "stats", "tracking_total_keys") == 0
        assert info(other, "stats", "tracking_total_items") == 0
        assert info(other, "clients", "tracking_clients") == 0


# -- no stale read ----------------------------------------------------------------------------------------------------


class Cache:
    """A client that answers from what it has read, until it is told to forget it."""

    def __init__(self, server: Server, mode: tuple[str, ...], mail: "Cache | None" = None) -> None:
        self.connection = server.connect()
        self.reader = hiredis.Reader()
        self.connection("hello", 3)
        self.mode = mode
        self.held: dict[bytes, bytes | None] = {}
        self.receiver = self if mail is None else mail
        self.told = self
        if mail is not None:
            mail.told = self
        words = ("redirect", int(self.receiver.connection("client", "id")[1:])) if mail else ()
        if mode[0] != "mailbox":
            assert self.connection("client", "tracking", "on", *mode, *words) == b"+OK\r\n"

    def take(self) -> object:
        """The next reply; invalidations that come first are obeyed."""
        while True:
            while (reply := self.reader.gets()) is not False:
                if not isinstance(reply, hiredis.PushNotification):
                    return reply
                assert reply[0] == b"invalidate", reply
                for name in list(self.told.held) if reply[1] is None else reply[1]:
                    self.told.held.pop(name, None)
            data = self.connection.socket.recv(1 << 16)
            assert data
            self.reader.feed(data)

    def read(self, name: bytes) -> None:
        if "optin" in self.mode:
            self.connection.send(b"client caching yes\r\nget " + name + b"\r\n")
            self.take()
        else:
            self.connection.send(b"get " + name + b"\r\n")
        value = self.take()
        assert value is None or isinstance(value, bytes)
        self.held[name] = value

    def write(self, command: bytes, names: list[bytes]) -> None:
        self.connection.send(command)
        self.take()
        if "noloop" in self.mode:  # it knows that it has written, and is not told
            for name in names:
                self.held.pop(name, None)

    def settle(self) -> None:
        self.connection.send(b"ping\r\n")
        assert self.take() == b"PONG"


MODES = [("noloop",), ("optin",), ("optout",), ("bcast",), ("bcast", "noloop"), ("bcast", "prefix", "k"), ("optout",)]


@pytest.mark.parametrize("seed", range(6))
def test_no_cached_value_is_stale(new_node: Callable[..., Server], seed: int) -> None:
    """Whoever writes what, or if it expires or is evicted: a client that has obeyed its messages holds what is true."""
    draw = random.Random(seed)
    server = new_node("--maxmemory", "3mb")
    names = [b"k%d" % number for number in range(30)]
    mailbox = Cache(server, ("mailbox",))
    caches = [Cache(server, mode) for mode in MODES]
    caches.append(Cache(server, ("optout",), mailbox))
    writer = server.connect()
    writer("config", "set", "tracking-table-max-keys", "25")
    invalidated = 0
    for step in range(400):
        for _ in range(8):
            draw.choice(caches).read(draw.choice(names))
        one, other = draw.choice(names), draw.choice(names)
        command = draw.choice([
            b"set %b %d\r\n" % (one, step), b"append %b x\r\n" % one, b"del %b %b\r\n" % (one, other),
            b"set %b %d px %d\r\n" % (one, step, draw.randrange(1, 30)), b"mset %b %d %b x\r\n" % (one, step, other),
            b"rename %b %b\r\n" % (one, other), b"copy %b %b replace\r\n" % (one, other), b"getdel %b\r\n" % one,
            b"expire %b -1\r\n" % one, b"setrange %b 3 xyz\r\n" % one, b"set %b %b\r\n" % (one, b"v" * 20000),
        ] + [b"flushall\r\n", b"flushdb\r\n", b"swapdb 0 1\r\n"] * (step % 50 == 0))  # fmt: skip
        chosen = draw.randrange(len(caches) + 3)
        if chosen < len(caches):
            caches[chosen].write(command, [one, other])
        else:
            writer.send(command)
            writer.reply()
        if step % 40 == 20:
            # What fills the memory, so that keys are evicted.
            pipeline(writer, [("set", f"fill:{step}:{number}", "x" * 9000) for number in range(100)])
        # Every cache takes what it was sent, twice: the first reads may have made others expire.
        for _ in range(2):
            for cache in (mailbox, *caches):
                cache.settle()
        before = {name: writer("get", name) for name in names}
        for cache in (mailbox, *caches):
            cache.settle()
        for cache in caches:
            for name, value in cache.held.items():
                now = before[name]
                true = b"$-1\r\n" if value is None else b"$%d\r\n%s\r\n" % (len(value), value)
                assert now == true, f"{cache.mode} holds {value!r} of {name!r}, which is {now!r}"
            invalidated += len(names) - len(cache.held)
    assert invalidated and info(writer, "stats", "evicted_keys") and info(writer, "stats", "expired_keys")
    writer.close()
    for cache in (mailbox, *caches):
        cache.connection.close()
