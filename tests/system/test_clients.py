"""Unmodified clients: redis-py, redis-cli and redis-benchmark, over three real nodes.

One thing at a time; `tests/clients` has more clients, each going through a whole day.
"""

import shutil
import subprocess

import pytest
import redis

from tests.redis_server import needs_redis_server
from tests.system.tier import running_nodes, running_proxy

pytestmark = needs_redis_server


@pytest.fixture(scope="module")
def nodes(tmp_path_factory):
    with running_nodes(tmp_path_factory.mktemp("nodes"), 3) as nodes:
        yield nodes


@pytest.fixture(scope="module")
def proxy(nodes, tmp_path_factory):
    with running_proxy(tmp_path_factory.mktemp("proxy"), nodes, 'hash_tag: "{}"') as proxy:
        yield proxy


@pytest.fixture(params=[None, 2, 3], ids=["default", "resp2", "resp3"])
def client(request, proxy, nodes):
    for node in nodes:
        node("FLUSHALL")
    more = {} if request.param is None else {"protocol": request.param}
    with redis.Redis("127.0.0.1", proxy.address, socket_timeout=20, **more) as client:
        yield client


def protocol(client):
    return client.connection_pool.connection_kwargs.get("protocol")


# -- redis-py ------------------------------------------------------------------------------------------------------


def test_strings(client):
    assert client.ping() is True
    assert client.set("s", "v") is True
    assert client.get("s") == b"v"
    assert client.get("missing") is None
    assert client.append("s", "w") == 2
    assert client.setnx("s", "x") is False
    assert client.set("s", "y", nx=True) is None
    assert client.set("s", "y", get=True) == b"vw"
    assert client.getset("s", "z") == b"y"
    assert client.getdel("s") == b"z"
    assert client.incr("n") == 1
    assert client.incrby("n", 41) == 42
    assert client.decr("n") == 41
    assert client.incrbyfloat("f", 1.5) == 1.5
    assert client.setrange("r", 3, "abc") == 6
    assert client.getrange("r", 0, -1) == b"\0\0\0abc"
    assert client.strlen("r") == 6
    with pytest.raises(redis.ResponseError, match="not an integer"):
        client.incr("r")
    with pytest.raises(redis.ResponseError, match="WRONGTYPE"):
        client.lpush("r", "x")


def test_binary_keys_and_values(client):
    every = bytes(range(256))
    assert client.set(every, every * 4) is True
    assert client.get(every) == every * 4
    assert client.set("", "") is True
    assert client.get("") == b""


def test_hashes(client):
    assert client.hset("h", mapping={"a": 1, "b": 2}) == 2
    assert client.hgetall("h") == {b"a": b"1", b"b": b"2"}
    assert client.hmget("h", "a", "x", "b") == [b"1", None, b"2"]
    assert client.hincrby("h", "a", 9) == 10
    assert client.hexists("h", "b") is True
    assert client.hdel("h", "b", "x") == 1
    assert client.hkeys("h") == [b"a"]
    assert list(client.hscan_iter("h")) == [(b"a", b"10")]


def test_lists(client):
    assert client.rpush("l", *range(5)) == 5
    assert client.lrange("l", 0, -1) == [b"0", b"1", b"2", b"3", b"4"]
    assert client.lpop("l") == b"0"
    assert client.rpop("l", 2) == [b"4", b"3"]
    assert client.linsert("l", "before", "2", "x") == 3
    assert client.lindex("l", 1) == b"x"
    assert client.ltrim("l", 0, 0) is True
    assert client.llen("l") == 1


def test_sets(client):
    assert client.sadd("t", "a", "b", "c") == 3
    assert client.smembers("t") == {b"a", b"b", b"c"}
    assert client.sismember("t", "a") == 1
    assert client.smismember("t", ["a", "x"]) == [1, 0]
    assert client.srem("t", "a") == 1
    assert client.scard("t") == 2
    assert client.spop("t") in {b"b", b"c"}


def test_sorted_sets(client):
    assert client.zadd("z", {"a": 1, "b": 2.5, "c": 3}) == 3
    assert client.zscore("z", "b") == 2.5
    assert client.zincrby("z", 2, "a") == 3.0
    assert [member for member, _ in client.zrange("z", 0, -1, withscores=True)] == [b"b", b"a", b"c"]
    assert client.zrank("z", "c") == 2
    assert client.zrangebyscore("z", 3, "+inf") == [b"a", b"c"]
    assert client.zrem("z", "a") == 1
    assert client.zcard("z") == 2


def test_streams(client):
    first = client.xadd("x", {"f": "1"})
    second = client.xadd("x", {"f": "2"})
    assert client.xlen("x") == 2
    assert client.xrange("x") == [(first, {b"f": b"1"}), (second, {b"f": b"2"})]
    assert client.xgroup_create("x", "g", id="0") is True
    assert list(dict(client.xreadgroup("g", "me", {"x": ">"}))) == [b"x"]
    assert client.xack("x", "g", first) == 1
    assert client.xdel("x", second) == 1
    assert client.xinfo_stream("x")["length"] == 1


def test_bits_and_hyperloglog_and_geo(client):
    assert client.setbit("b", 7, 1) == 0
    assert client.getbit("b", 7) == 1
    assert client.bitcount("b") == 1
    assert client.bitpos("b", 1) == 7
    assert client.bitfield("b").set("u8", 0, 255).get("u4", 0).execute() == [1, 15]
    assert client.pfadd("p", "a", "b") == 1
    assert client.pfcount("p") == 2
    assert client.geoadd("g", (13.361389, 38.115556, "Palermo")) == 1
    assert client.geosearch("g", longitude=13, latitude=38, radius=100, unit="km") == [b"Palermo"]


def test_expiry(client):
    assert client.set("e", "v", ex=100) is True
    assert 0 < client.ttl("e") <= 100
    assert client.persist("e") is True
    assert client.ttl("e") == -1
    assert client.pexpire("e", 50_000) is True
    assert 0 < client.pttl("e") <= 50_000
    assert client.getex("e", persist=True) == b"v"
    assert client.expire("e", 0) is True
    assert client.get("e") is None


def test_key_commands(client):
    client.set("k", "v")
    assert client.type("k") == b"string"
    assert client.object("encoding", "k") == b"embstr"
    assert client.dump("k") is not None
    assert client.restore("k2", 0, client.dump("k")) == b"OK"
    assert client.memory_usage("k") > 0
    assert client.rename("{k}a", "{k}b") if client.set("{k}a", 1) else False
    assert client.copy("{k}b", "{k}c") is True
    assert client.sort("{k}l") == []


def test_scripts(client):
    assert client.eval("return {KEYS[1], ARGV[1]}", 1, "k", "a") == [b"k", b"a"]


def test_pipelines(client):
    with client.pipeline(transaction=False) as pipe:
        for number in range(3000):
            pipe.set(f"p:{number}", number)
        assert pipe.execute() == [True] * 3000
        for number in range(3000):
            pipe.get(f"p:{number}")
            if number % 1000 == 0:
                pipe.execute_command("NOSUCH", "x")
        replies = pipe.execute(raise_on_error=False)
    errors = [reply for reply in replies if isinstance(reply, redis.ResponseError)]
    assert len(errors) == 3
    assert [reply for reply in replies if reply not in errors] == [str(number).encode() for number in range(3000)]


def test_many_keys_over_all_nodes(client, nodes):
    keys = [f"many:{number}" for number in range(300)]
    assert client.mset({key: key + "!" for key in keys}) is True
    assert all(node("DBSIZE") > 20 for node in nodes)
    assert sum(node("DBSIZE") for node in nodes) == 300
    assert client.mget(keys) == [f"{key}!".encode() for key in keys]
    assert client.mget("many:0", "missing", "many:299", "many:0") == [b"many:0!", None, b"many:299!", b"many:0!"]
    assert client.exists(*keys, "missing", "many:0") == 301
    assert client.touch(*keys[:100]) == 100
    assert client.unlink(*keys[:100]) == 100
    assert client.delete(*keys) == 200
    assert sum(node("DBSIZE") for node in nodes) == 0


def test_mget_of_another_type_is_nil(client):
    client.lpush("mixed:1", "x")
    client.set("mixed:2", "v")
    assert client.mget("mixed:1", "mixed:2", "mixed:3") == [None, b"v", None]


def test_keys_on_several_nodes(client):
    keys = [f"cross:{number}" for number in range(20)]
    with pytest.raises(redis.RedisError, match=r"(?i)hash to the same slot|CROSSSLOT"):
        client.sinter(keys)
    assert client.sadd("{same}a", 1, 2) == 2
    assert client.sadd("{same}b", 2, 3) == 2
    assert client.sinter("{same}a", "{same}b") == {b"2"}
    assert client.sunionstore("{same}c", "{same}a", "{same}b") == 3


def test_databases(client, proxy):
    client.set("db", "zero")
    with redis.Redis("127.0.0.1", proxy.address, db=1, protocol=protocol(client) or 3) as other:
        assert other.get("db") is None
        other.set("db", "one")
        assert other.get("db") == b"one"
        assert client.get("db") == b"zero"
        assert other.delete("db") == 1
    with pytest.raises(redis.ResponseError, match="out of range"):
        client.execute_command("SELECT", "99999")


def test_unknown_command_keeps_the_connection(client):
    connection = client.connection_pool.get_connection()
    try:
        for _ in range(3):
            connection.send_command("NOSUCH", "a", "b")
            with pytest.raises(redis.ResponseError, match="unknown command 'NOSUCH', with args beginning with: 'a'"):
                connection.read_response()
        connection.send_command("PING")
        assert connection.read_response() in (b"PONG", "PONG")
    finally:
        client.connection_pool.release(connection)


def test_decoded_responses(proxy):
    with redis.Redis("127.0.0.1", proxy.address, decode_responses=True) as client:
        client.set("text", "grün")
        assert client.get("text") == "grün"
        assert client.hset("texts", "ä", "ö") in (0, 1)
        assert client.hgetall("texts") == {"ä": "ö"}


@pytest.mark.parametrize("size", [16 << 10, 32 << 10, 255 << 10, 256 << 10, 1 << 20, 24 << 20])
def test_large_values(client, size):
    value = (b"%08d" % size) * (size // 8)
    assert client.set(f"large:{size}", value) is True
    assert client.strlen(f"large:{size}") == len(value)
    assert client.get(f"large:{size}") == value
    assert client.mget(f"large:{size}", "missing", "another") == [value, None, None]
    assert client.mset({f"large:{size}": "a", "large:x": value, "large:y": value}) is True
    assert client.mget("large:x", f"large:{size}", "large:y") == [value, b"a", value]


def test_large_and_small_writes_keep_their_order(client):
    """The large one travels on another connection; the small ones before and behind it must not overtake."""
    large = b"x" * (1 << 20)
    with client.pipeline(transaction=False) as pipe:
        for _ in range(20):
            pipe.set("order", "small")
            pipe.append("order", large)
            pipe.strlen("order")
            pipe.set("order", large)
            pipe.append("order", "s")
            pipe.strlen("order")
        replies = pipe.execute()
    assert replies == [True, 5 + (1 << 20), 5 + (1 << 20), True, 1 + (1 << 20), 1 + (1 << 20)] * 20


def test_client_names(client):
    connection = client.connection_pool.get_connection()
    try:
        for command, answer in ((("CLIENT", "SETNAME", "me"), b"OK"), (("CLIENT", "GETNAME"), b"me")):
            connection.send_command(*command)
            assert connection.read_response() == answer
    finally:
        client.connection_pool.release(connection)


# -- redis-cli and redis-benchmark ---------------------------------------------------------------------------------


def cli(proxy, *words, **more):
    return subprocess.run(
        ["redis-cli", "-p", str(proxy.address), *words], capture_output=True, timeout=60, check=False, **more
    )


needs_redis_cli = pytest.mark.skipif(shutil.which("redis-cli") is None, reason="redis-cli is not installed")


@needs_redis_cli
@pytest.mark.parametrize("protocol", ["-2", "-3"])
def test_redis_cli(proxy, protocol):
    assert cli(proxy, protocol, "set", "cli", "v").stdout == b"OK\n"
    assert cli(proxy, protocol, "get", "cli").stdout == b"v\n"
    assert cli(proxy, protocol, "del", "cli", "nocli", "clino").stdout == b"1\n"
    assert cli(proxy, protocol, "-n", "1", "get", "cli").stdout == b"\n"
    assert cli(proxy, protocol, "--no-raw", "hgetall", "nocli").stdout == (
        b"(empty hash)\n" if protocol == "-3" else b"(empty array)\n"
    )
    assert cli(proxy, protocol, "nosuch").stdout.startswith(b"ERR unknown command 'nosuch'")
    assert cli(proxy, protocol, input=b"set a 1\nincr a\nget a\n").stdout == b"OK\n2\n2\n"


@needs_redis_cli
def test_redis_cli_pipe(proxy, nodes):
    for node in nodes:
        node("FLUSHALL")
    lines = b"".join(b"SET pipe:%d %d\r\n" % (number, number) for number in range(20_000))
    answer = cli(proxy, "--pipe", input=lines)
    assert b"errors: 0, replies: 20000" in answer.stdout, answer
    assert sum(node("DBSIZE") for node in nodes) == 20_000


@pytest.mark.skipif(shutil.which("redis-benchmark") is None, reason="redis-benchmark is not installed")
@pytest.mark.parametrize("options", [(), ("-P", "16"), ("-3",)], ids=["plain", "pipelined", "resp3"])
def test_redis_benchmark(proxy, options):
    """Every default test of it, in hand-sized numbers."""
    done = subprocess.run(
        ["redis-benchmark", "-p", str(proxy.address), "-n", "1000", "-c", "20", "-r", "1000", "-q", *options],
        capture_output=True, text=True, timeout=60, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done
    assert "error" not in (done.stdout + done.stderr).lower().replace("could not fetch server config", "")
    assert done.stdout.count("requests per second") >= 18
