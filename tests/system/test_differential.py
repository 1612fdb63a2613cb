"""The proxy against one plain redis-server: the same single-key commands, the same bytes back.

Commands are generated over a small key set and sent as one pipeline, so that types collide, keys vanish and errors
come from everywhere. Left out is only what one redis-server would not answer alike twice: random picks, clocks, and
the order of hash tables (sets here hold integers, hashes and sorted sets stay small, so all have a fixed order).
"""

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tests.redis_server import needs_redis_server
from tests.system.tier import running_nodes, running_proxy

pytestmark = needs_redis_server

KEY = "<key>"
NUMBER = "<number>"
VALUE = "<value>"
FIELD = "<field>"

#: One shape a command; the marks are replaced.
SHAPES = [
    shape.split()
    for shape in """
    GET <key>|SET <key> <value>|SET <key> <number>|SET <key> <value> NX|SET <key> <value> XX GET|SET <key> <value> FOO
    SET <key> <value> EX 1000|SET <key> <value> EX 0|SETNX <key> <value>|SETEX <key> 1000 <value>|GETSET <key> <value>
    GETDEL <key>|GETEX <key>|APPEND <key> <value>|STRLEN <key>|SETRANGE <key> <number> <value>|LCS <key> <key> LEN
    GETRANGE <key> <number> <number>|SUBSTR <key> 0 1|INCR <key>|DECR <key>|INCRBY <key> <number>
    DECRBY <key> <number>|INCRBYFLOAT <key> 1.5|INCRBYFLOAT <key> <value>|SETBIT <key> 9 1|SETBIT <key> <number> 2
    GETBIT <key> <number>|BITCOUNT <key>|BITCOUNT <key> <number> <number>|BITPOS <key> 1|BITFIELD <key> GET u8 0
    BITFIELD <key> SET i16 <number> <number> OVERFLOW FAIL INCRBY u2 0 1|BITFIELD_RO <key> GET u4 0
    DEL <key>|UNLINK <key>|EXISTS <key>|EXISTS <key> <key>|TOUCH <key>|TYPE <key>|TTL <key>|PERSIST <key>|MGET <key>
    EXPIRE <key> 5000|EXPIRE <key> <number>|PEXPIRE <key> -1|EXPIREAT <key> <number>|OBJECT ENCODING <key>
    OBJECT REFCOUNT <key>|OBJECT NOSUCH <key>|MSET <key> <value>|MSET <key>|MSETNX <key> <value>|DUMP <key>
    RESTORE <key> 0 <value>|COPY <key> <key>|RENAME <key> <key>|RENAMENX <key> <key>|SORT <key>|SORT <key> ALPHA DESC
    HSET <key> <field> <value>|HSET <key> <field>|HSET <key> <field> <number> <field> <value>|HMSET <key> <field> 1
    HSETNX <key> <field> <value>|HGET <key> <field>|HMGET <key> <field> <field>|HGETALL <key>|HKEYS <key>|HVALS <key>
    HLEN <key>|HDEL <key> <field> <field>|HEXISTS <key> <field>|HSTRLEN <key> <field>|HINCRBY <key> <field> <number>
    HINCRBYFLOAT <key> <field> 0.25|HSCAN <key> 0|HSCAN <key> 0 MATCH f* COUNT 100|HSCAN <key> x|HRANDFIELD <key> 0
    LPUSH <key> <value>|RPUSH <key> <value> <number>|LPUSHX <key> <value>|RPUSHX <key> <value>|LPOP <key>
    LPOP <key> <number>|RPOP <key>|RPOP <key> 2|LLEN <key>|LRANGE <key> 0 -1|LRANGE <key> <number> <number>
    LINDEX <key> <number>|LSET <key> <number> <value>|LINSERT <key> BEFORE <value> <value>|LREM <key> 0 <value>
    LTRIM <key> <number> <number>|LPOS <key> <value>|LPOS <key> <value> RANK -1 COUNT 0|LMOVE <key> <key> LEFT RIGHT
    RPOPLPUSH <key> <key>|LMPOP 1 <key> LEFT COUNT 2
    SADD <key> <number>|SADD <key> <number> <number>|SREM <key> <number>|SISMEMBER <key> <number>|SCARD <key>
    SMISMEMBER <key> 0 1 2|SMEMBERS <key>|SSCAN <key> 0|SMOVE <key> <key> 1|SINTER <key>|SUNION <key> <key>
    SINTERCARD 1 <key>|SUNIONSTORE <key> <key>|SRANDMEMBER <key> 0
    ZADD <key> <number> <field>|ZADD <key> 1.5 a 1.5 b <number> c|ZADD <key> NX <number> <field>
    ZADD <key> GT CH <number> <field>|ZADD <key> INCR <number> <field>|ZADD <key> XX NX 1 a|ZADD <key> inf <field>
    ZADD <key> -inf <field>|ZADD <key> nan <field>|ZINCRBY <key> <number> <field>|ZREM <key> <field>|ZCARD <key>
    ZSCORE <key> <field>|ZMSCORE <key> <field> a|ZRANK <key> <field>|ZREVRANK <key> <field>|ZCOUNT <key> -inf <number>
    ZRANGE <key> 0 -1|ZRANGE <key> 0 -1 WITHSCORES|ZRANGE <key> -inf +inf BYSCORE LIMIT 0 2|ZREVRANGE <key> 0 1
    ZRANGEBYSCORE <key> (1 +inf WITHSCORES|ZRANGEBYLEX <key> - +|ZLEXCOUNT <key> [a [c|ZPOPMIN <key>|ZPOPMAX <key> 2
    ZREMRANGEBYRANK <key> 0 0|ZREMRANGEBYSCORE <key> 0 <number>|ZSCAN <key> 0|ZUNION 1 <key> WITHSCORES
    ZRANGESTORE <key> <key> 0 -1|ZMPOP 1 <key> MIN|ZDIFF 1 <key>|ZUNIONSTORE <key> 1 <key>|ZINTERCARD 1 <key>
    XADD <key> <number>-1 f <value>|XLEN <key>|XRANGE <key> - +|XREVRANGE <key> + - COUNT 1|XDEL <key> <number>-1
    XTRIM <key> MAXLEN 1|XADD <key> NOMKSTREAM 9999-1 f v|XREAD COUNT 1 STREAMS <key> 0|XGROUP CREATE <key> g 0
    XREADGROUP GROUP g me STREAMS <key> >|XACK <key> g <number>-1|XPENDING <key> g|XINFO STREAM <key>|XSETID <key> 5-5
    PFADD <key> <value> <field>|PFCOUNT <key>|PFMERGE <key> <key>|GEOADD <key> 13.3 38.1 <field>|GEOPOS <key> <field>
    GEODIST <key> a b|GEOHASH <key> <field>|GEOSEARCH <key> FROMLONLAT 13 38 BYRADIUS 100 km ASC
    EVAL return{KEYS[1],ARGV[1],1,false} 1 <key> <value>|EVAL return{ok=KEYS[1]} 1 <key>
    EVAL return{err=ARGV[1]} 1 <key> <field>|EVAL nosuch 1 <key>|EVAL return{double=1.5} 1 <key>
    GET|GET <key> <key>|set|HSET <key>|NOSUCH <key> <value>|XGROUP NOSUCH <key> g|ECHO <value>|PING|PING <value>
    """.replace("\n", "|").split("|")
    if shape.strip()
]

values = st.sampled_from([
    b"", b"a", b"10", b"-7", b"3.5", b"a\r\nb", b"$5\r\nhello\r\n", b"\0\xff\x80", b"nan", b"9223372036854775807",
    b"x" * 300,
]) | st.binary(max_size=12)  # fmt: skip
marks = {
    KEY: st.sampled_from([b"k0", b"k1", b"k2", b"k\r\n3", b"{t}4", b""]),
    NUMBER: st.sampled_from([b"0", b"1", b"2", b"-1", b"5", b"100", b"-9223372036854775808", b"x"]) | st.integers(
        -10, 300
    ).map(lambda number: b"%d" % number),
    VALUE: values,
    FIELD: st.sampled_from([b"a", b"b", b"c", b"f1", b"f2", b""]),
}


@st.composite
def requests(draw):
    """One request: a shape with its marks replaced. All its keys are one key, so that it never crosses nodes."""
    key = draw(marks[KEY])
    words = draw(st.sampled_from(SHAPES))
    filled = []
    for word in words:
        for mark in marks:
            if mark in word:
                text = key if mark == KEY else draw(marks[mark])
                filled.append(word.encode().replace(mark.encode(), text))
                break
        else:
            filled.append(word.encode())
    return filled


@pytest.fixture(scope="module")
def nodes(tmp_path_factory):
    """Three nodes for the proxy, and one more that is the reference."""
    with running_nodes(tmp_path_factory.mktemp("nodes"), 4) as nodes:
        yield nodes


@pytest.fixture(scope="module")
def proxy(nodes, tmp_path_factory):
    with running_proxy(tmp_path_factory.mktemp("proxy"), nodes[:3], 'hash_tag: "{}"') as proxy:
        yield proxy


@pytest.mark.parametrize("protocol", [2, 3])
def test_same_bytes(proxy, nodes, protocol):
    with (
        proxy.link(protocol) as tested,
        nodes[3].link(protocol) as reference,
        nodes[0].link() as first,
        nodes[1].link() as second,
        nodes[2].link() as third,
    ):
        seen = set()

        @settings(
            max_examples=200, derandomize=True, deadline=None, database=None,
            suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large],
        )  # fmt: skip
        @given(st.lists(requests(), min_size=10, max_size=60))
        def run(batch):
            for node in (first, second, third, reference):
                assert node("FLUSHALL") == b"OK"
            tested.send(*batch)
            reference.send(*batch)
            for words, ours, theirs in zip(batch, tested.raw(len(batch)), reference.raw(len(batch)), strict=True):
                seen.add(tuple(words[:1]))
                assert ours == theirs, words

        run()
        assert len(seen) > 100  # names of commands that were compared


def test_every_shape_once(proxy, nodes):
    """Each shape on a key of each type, so that none depends on luck to be seen."""
    setups = [
        ["SET", "k", "10"], ["HSET", "k", "a", "1", "b", "x"], ["RPUSH", "k", "a", "10", "b"], ["SADD", "k", 1, 2, 3],
        ["ZADD", "k", 1, "a", 2, "b"], ["XADD", "k", "1-1", "f", "v"], ["DEL", "k"],
    ]  # fmt: skip
    for protocol in (2, 3):
        with proxy.link(protocol) as tested, nodes[3].link(protocol) as reference:
            batch = []
            for setup in setups:
                for shape in SHAPES:
                    filled = [
                        word.replace(KEY, "k").replace(NUMBER, "1").replace(VALUE, "10").replace(FIELD, "a")
                        for word in shape
                    ]
                    batch += [["DEL", "k"], setup, filled]
            tested.send(*batch)
            reference.send(*batch)
            for words, ours, theirs in zip(batch, tested.raw(len(batch)), reference.raw(len(batch)), strict=True):
                assert ours == theirs, words
