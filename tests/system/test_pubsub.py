"""Publish and subscribe through the proxy, against real redis-servers: three nodes, two engines, all clients."""

from __future__ import annotations

import os
import resource
from pathlib import Path

import hiredis
import pytest
import redis

from tests.redis_server import needs_redis_server
from tests.system.tier import Link, Node, Proxy, error, running_nodes, running_proxy, until

pytestmark = needs_redis_server


@pytest.fixture(scope="module")
def nodes(tmp_path_factory):
    with running_nodes(tmp_path_factory.mktemp("nodes"), 3) as nodes:
        for node in nodes:
            node("CONFIG", "SET", "notify-keyspace-events", "KEA")
            node("CONFIG", "SET", "client-output-buffer-limit", "pubsub 0 0 0")
        yield nodes


@pytest.fixture(scope="module")
def proxy(tmp_path_factory, nodes):
    with running_proxy(tmp_path_factory.mktemp("proxy"), nodes, engines=2) as proxy:
        yield proxy


@pytest.fixture
def links(proxy):
    """`links(count, protocol=2)`: this many connections."""
    opened = []

    def make(count, protocol=2):
        made = [proxy.link(protocol) for _ in range(count)]
        opened.extend(made)
        return made

    yield make
    for link in opened:
        link.close()


def subscribed(link, command, *names):
    """Subscribe, and read the confirmations."""
    link.send([command, *names])
    replies = link.replies(len(names))
    assert [reply[:2] for reply in replies] == [[command.lower().encode(), name.encode()] for name in names]
    return replies[-1][2]


def home(nodes, channel):
    """The one node where `channel` is subscribed."""
    (found,) = [node for node in nodes if channel.encode() in node("PUBSUB", "CHANNELS")]
    return found


def info(proxy, section="everything"):
    lines = proxy("INFO", section).decode().splitlines()
    return dict(line.split(":", 1) for line in lines if ":" in line)


# -- messages ---------------------------------------------------------------------------------------------------------

def test_everybody_on_every_node_and_engine_is_reached_and_counted(links, nodes):
    channels = [f"news:{number}" for number in range(12)]
    listeners = links(6) + links(6, 3)
    for link in listeners:
        assert subscribed(link, "SUBSCRIBE", *channels) == 12
    (patterned,) = links(1, 3)
    subscribed(patterned, "PSUBSCRIBE", "news:*", "*:1*")
    (publisher,) = links(1)
    assert len({home(nodes, channel).name for channel in channels}) == 3
    for number, channel in enumerate(channels):
        matching = 1 + (number == 1 or number >= 10)
        assert publisher("PUBLISH", channel, f"m{number}") == 12 + matching
        for link in listeners:
            assert link.reply() == [b"message", channel.encode(), b"m%d" % number]
        got = [patterned.reply() for _ in range(matching)]
        assert {reply[1] for reply in got} <= {b"news:*", b"*:1*"} and len(got) == matching
        assert all(reply[0] == b"pmessage" and reply[2:] == [channel.encode(), b"m%d" % number] for reply in got)
    assert publisher("PUBLISH", "nobody", "x") == 0


def test_a_publication_after_the_confirmation_is_received_and_counted(links):
    """Confirmed means confirmed by the node; and the engines know the number before the subscriber does."""
    publishers = links(4)
    for number in range(100):
        channel = f"fresh:{number}"
        listeners = links(3, 2 + number % 2)
        for count, link in enumerate(listeners, 1):
            subscribed(link, "SUBSCRIBE", channel)
            assert publishers[number % 4]("PUBLISH", channel, "m") == count
        for place, link in enumerate(listeners):
            # Three, of which the later ones come while the earlier ones leave.
            assert link.replies(3) == [[b"message", channel.encode(), b"m"]] * 3
            assert link("UNSUBSCRIBE", channel) == [b"unsubscribe", channel.encode(), 0]
            assert publishers[-number % 4]("PUBLISH", channel, "m") == 2 - place
            link.close()


def test_whoever_is_counted_receives(links, proxy):
    """Also a client that has not read its confirmation yet: Celery waits for results in this way."""
    (publisher,) = links(1)
    for number in range(60):
        name = f"counted:{number}"
        with proxy.link() as link:
            link.send(["SUBSCRIBE", name])
            until(lambda name=name: publisher("PUBLISH", name, "hello") == 1, "the node counts it", every=0)
            assert link.reply() == [b"subscribe", name.encode(), 1]
            assert link.reply() == [b"message", name.encode(), b"hello"]


def test_messages_of_a_channel_come_in_their_order(links):
    listeners = links(10) + links(10, 3)
    for number, link in enumerate(listeners):
        subscribed(link, "SUBSCRIBE", "order", f"own:{number}")
    (publisher,) = links(1)
    count = 2000
    publisher.send(*(["PUBLISH", "order", str(number)] for number in range(count)))
    assert publisher.replies(count) == [len(listeners)] * count
    for link in listeners:
        assert [int(reply[2]) for reply in link.replies(count)] == list(range(count))


def test_a_message_of_ten_megabytes(links):
    listeners = links(5) + links(5, 3)
    for link in listeners:
        subscribed(link, "SUBSCRIBE", "large")
    (publisher,) = links(1)
    payload = os.urandom(1 << 20) * 10
    assert publisher("PUBLISH", "large", payload) == 10
    for link in listeners:
        assert link.reply() == [b"message", b"large", payload]


def test_events_of_keys_come_from_every_node(links):
    (listener, both), (client,) = links(2, 3), links(1)
    subscribed(listener, "PSUBSCRIBE", "__keyspace@0__:ev:*")
    subscribed(both, "SUBSCRIBE", "__keyevent@0__:set")
    keys = [f"ev:{number}" for number in range(30)]
    for key in keys:
        client("SET", key, "1")
    assert sorted(listener.reply()[2].decode() for _ in keys) == sorted(f"__keyspace@0__:{key}" for key in keys)
    assert sorted(both.reply()[2].decode() for _ in keys) == sorted(keys)
    client("DEL", *keys)


def test_shard_channels_and_hash_tags(links):
    (listener, other), (client,) = links(2), links(1)
    assert subscribed(listener, "SSUBSCRIBE", "s{1}", "t{1}") == 2
    assert subscribed(listener, "SUBSCRIBE", "s{1}") == 1
    subscribed(other, "SSUBSCRIBE", "s{1}")
    assert client("SPUBLISH", "s{1}", "x") == 2
    assert client("PUBLISH", "s{1}", "y") == 1
    assert {tuple(reply) for reply in listener.replies(2)} == {
        (b"smessage", b"s{1}", b"x"), (b"message", b"s{1}", b"y")
    }
    assert client("PUBSUB", "SHARDNUMSUB", "s{1}", "t{1}") == [b"s{1}", 2, b"t{1}", 1]
    assert sorted(client("PUBSUB", "SHARDCHANNELS")) == [b"s{1}", b"t{1}"]
    assert client("PUBSUB", "SHARDCHANNELS", "t*") == [b"t{1}"]
    listener.send(["SUNSUBSCRIBE"])
    assert listener.replies(2) == [[b"sunsubscribe", b"s{1}", 1], [b"sunsubscribe", b"t{1}", 0]]
    assert client("SPUBLISH", "s{1}", "x") == 1


def test_what_pubsub_tells(links, proxy, nodes):
    first, second, third = links(3)
    subscribed(first, "SUBSCRIBE", "told:a", "told:b")
    subscribed(second, "SUBSCRIBE", "told:a")
    subscribed(third, "PSUBSCRIBE", "told:*")
    (client,) = links(1)
    direct = home(nodes, "told:a").link()
    subscribed(direct, "SUBSCRIBE", "told:a", "__keyspace@0__:direct")
    assert sorted(client("PUBSUB", "CHANNELS", "told:*")) == [b"told:a", b"told:b"]
    assert client("PUBSUB", "NUMSUB", "told:a", "told:b", "told:c") == [b"told:a", 3, b"told:b", 1, b"told:c", 0]
    assert client("PUBSUB", "NUMSUB") == []
    assert client("PUBSUB", "NUMPAT") == 1
    assert client("PUBLISH", "told:a", "m") == 4
    listed = {line.split()[0]: line for line in client("CLIENT", "LIST").decode().splitlines()}
    assert sum(" sub=2 psub=0 ssub=0 " in line and " flags=P " in line for line in listed.values()) == 1
    assert sum(" psub=1 " in line for line in listed.values()) == 1
    assert client("CLIENT", "LIST", "TYPE", "pubsub").count(b"\n") == 3
    found = info(proxy)
    assert (found["pubsub_clients"], found["pubsub_channels"], found["pubsub_patterns"]) == ("3", "2", "1")
    direct.close()


def test_a_transaction_may_publish(links):
    (listener,), (client,) = links(1), links(1)
    subscribed(listener, "SUBSCRIBE", "exec")
    client.send(["MULTI"], ["PUBLISH", "exec", "m"], ["EXEC"])
    assert client.replies(3) == [b"OK", b"QUEUED", [1]]
    assert listener.reply() == [b"message", b"exec", b"m"]


# -- an ordinary client -----------------------------------------------------------------------------------------------

@pytest.mark.parametrize("protocol", [2, 3])
def test_redis_py(proxy, protocol):
    with redis.Redis(port=proxy.address, protocol=protocol) as client, client.pubsub() as pubsub:
        seen = []
        pubsub.subscribe("py:a", **{"py:b": seen.append})
        pubsub.psubscribe("py:*")
        pubsub.ssubscribe("py:s")
        for _ in range(4):
            assert "subscribe" in until(lambda: pubsub.get_message(timeout=1), "a confirmation")["type"]
        assert client.publish("py:a", "1") == 2 and client.publish("py:b", "2") == 2
        assert client.execute_command("SPUBLISH", "py:s", "3") == 1
        got = []
        until(lambda: got.append(pubsub.get_message(timeout=1)) or len(seen) + len([m for m in got if m]) == 5, "all")
        assert {(m["type"], m["channel"], m["data"]) for m in [*seen, *filter(None, got)]} == {
            ("message", b"py:a", b"1"), ("pmessage", b"py:a", b"1"), ("message", b"py:b", b"2"),
            ("pmessage", b"py:b", b"2"), ("smessage", b"py:s", b"3"),
        }
        pubsub.ping("hello")
        assert until(lambda: pubsub.get_message(timeout=1), "a pong")["data"] == b"hello"
        pubsub.unsubscribe()
        pubsub.punsubscribe()
        until(lambda: client.pubsub_numsub("py:a", "py:b") == [(b"py:a", 0), (b"py:b", 0)], "both to be left")


# -- those who leave, and those who are slow --------------------------------------------------------------------------

def test_a_slow_subscriber_is_cut_off_and_the_others_get_everything(tmp_path, nodes):
    with running_proxy(tmp_path, nodes, "limits: {output_pubsub: 1mb, output_pubsub_soft: 1mb}", engines=2) as proxy:
        slow, *quick = (proxy.link(2 + number % 2) for number in range(9))
        for link in (slow, *quick):
            subscribed(link, "SUBSCRIBE", "flood")
        publisher = proxy.link()
        payload = b"x" * 20_000
        batch = 10
        size = batch * len(b"*3\r\n$7\r\nmessage\r\n$5\r\nflood\r\n$20000\r\n" + payload + b"\r\n")
        for _ in range(100):
            publisher.send(*[["PUBLISH", "flood", payload]] * batch)
            assert set(publisher.replies(batch)) <= {8, 9}
            for link in quick:
                assert link.exactly(size).count(payload) == batch
        until(lambda: info(proxy)["pubsub_clients"] == "8", "the slow one to be forgotten")
        found = info(proxy)
        assert found["client_output_buffer_limit_disconnections"] == "1"
        assert found["pubsub_output_limit_disconnections"] == "1"
        assert publisher("PUBLISH", "flood", "m") == 8
        with pytest.raises((ConnectionError, TimeoutError)):
            while True:
                slow.reply()
        for link in (slow, publisher, *quick):
            link.close()


def test_a_crowd_that_dies_leaves_nothing_behind(tmp_path, nodes):
    count = min(10_000, resource.getrlimit(resource.RLIMIT_NOFILE)[1] - 500)
    resource.setrlimit(resource.RLIMIT_NOFILE, (resource.getrlimit(resource.RLIMIT_NOFILE)[1],) * 2)
    with running_proxy(tmp_path, nodes, "client_connections: 20000", engines=2) as proxy:

        def descriptors():
            return len(os.listdir(f"/proc/{proxy.pid}/fd"))

        with proxy.link() as first:
            subscribed(first, "PSUBSCRIBE", "cr*")
            assert proxy("PUBSUB", "NUMPAT") == 1 and info(proxy)  # with all connections to the nodes that this takes
            before = descriptors() - 1
        crowd = [Link(proxy.address) for _ in range(count)]
        for number, link in enumerate(crowd):
            link.send(["SUBSCRIBE", "crowd", f"own:{number % 100}"], ["PSUBSCRIBE", "cr*"])
        for link in crowd:
            assert link.replies(3)[-1][2] == 3
        assert proxy("PUBLISH", "crowd", "m") == 2 * count
        for link in crowd[: count // 2]:
            link.close()
        until(lambda: proxy("PUBLISH", "crowd", "m") == 2 * (count - count // 2), "the dead half to be forgotten")
        for link in crowd:
            link.close()
        until(lambda: info(proxy)["pubsub_clients"] == "0", "all to be forgotten")
        found = info(proxy)
        assert (found["pubsub_channels"], found["pubsub_patterns"]) == ("0", "0")
        until(lambda: info(proxy)["connected_clients"] == "1", "nobody but who asks to be there")
        until(lambda: descriptors() <= before, "the descriptors to be given back")
        until(lambda: not any(node("PUBSUB", "CHANNELS", "*own*") + node("PUBSUB", "CHANNELS", "crowd")
                              for node in nodes), "the nodes to be left")  # fmt: skip
        assert proxy("PUBLISH", "crowd", "m") == 0 and proxy("PUBSUB", "NUMPAT") == 0
        with proxy.link() as last:
            assert subscribed(last, "SUBSCRIBE", "crowd") == 1
            assert proxy("PUBLISH", "crowd", "m") == 1


# -- nodes that go ----------------------------------------------------------------------------------------------------

@pytest.fixture
def own(tmp_path):
    """Three nodes to torment, and a proxy before them: `own(options)`."""
    with running_nodes(tmp_path, 3) as nodes:

        def start(options=""):
            return running_proxy(tmp_path, nodes, options, engines=2)

        start.nodes = nodes
        yield start


def test_a_restarted_node_is_subscribed_to_again(own):
    with own() as proxy, proxy.link(3) as listener, proxy.link() as publisher:
        channels = [f"c{number}" for number in range(30)]
        subscribed(listener, "SUBSCRIBE", *channels)
        subscribed(listener, "PSUBSCRIBE", "c1?")
        node = home(own.nodes, "c1")
        node.kill()
        assert error(publisher("PUBLISH", "c1", "lost"), "lost|down|closed|unknown")
        with proxy.link() as late:
            assert subscribed(late, "PSUBSCRIBE", "x*") == 1  # at the two nodes that there are
        node.start()
        until(lambda: len(node("PUBSUB", "CHANNELS")) > 5, "the channels to be subscribed to again")
        got = []
        for channel in channels:
            until(lambda channel=channel: not isinstance(publisher("PUBLISH", channel, "again"), hiredis.ReplyError),
                  "the node to be published to")  # fmt: skip
        while len(got) < 30 + 10:
            got.append(listener.reply())
        assert sorted(reply[1] for reply in got if reply[0] == b"message") == sorted(c.encode() for c in channels)
        assert sum(reply[0] == b"pmessage" for reply in got) == 10
        until(lambda: node("PUBSUB", "NUMPAT") == 1, "the pattern to be there, and that of the one who left not")


def test_a_subscription_at_a_node_that_is_gone_is_an_error(own):
    with own("timeout: 300ms") as proxy, proxy.link() as listener:
        with proxy.link() as probe:
            subscribed(probe, "SUBSCRIBE", "gone")
            node = home(own.nodes, "gone")
        node.kill()
        assert error(listener("SUBSCRIBE", "gone"), f"node {node.name} .* is down: .*'subscribe' was not sent")
        assert listener("PING") == b"PONG"
        assert error(listener("PUBSUB", "CHANNELS"), f"node {node.name} .* is down")
        assert error(listener("PUBLISH", "gone", "m"), "down|lost")
        node.start()
        until(lambda: listener("PUBLISH", "gone", "m") == 0, "the node to be back")
        assert subscribed(listener, "SUBSCRIBE", "gone") == 1


def test_channels_follow_an_ejected_node(own):
    options = "auto_eject: true\nserver_failure_limit: 1\nserver_retry_timeout: 200ms\ntimeout: 500ms"
    with own(options) as proxy, proxy.link(3) as listener, proxy.link() as publisher:
        subscribed(listener, "SUBSCRIBE", "moving")
        node = home(own.nodes, "moving")
        assert publisher("PUBLISH", "moving", "1") == 1
        assert listener.reply()[2] == b"1"
        node.kill()
        until(lambda: publisher("PUBLISH", "moving", "2") == 1, "the channel to be at another node")
        assert listener.reply()[2] == b"2"
        node.start()
        until(lambda: b"moving" in node("PUBSUB", "CHANNELS")
              and not any(b"moving" in other("PUBSUB", "CHANNELS") for other in own.nodes if other is not node),
              "the channel to be at home again, and nowhere else")  # fmt: skip
        assert publisher("PUBLISH", "moving", "3") == 1
        assert listener.reply()[2] == b"3"


def test_rights_at_the_nodes(tmp_path: Path):
    options = ("--requirepass", "secret")
    with running_nodes(tmp_path, 1, *options) as nodes:
        (node,) = nodes
        with node.link() as link:
            link("AUTH", "secret")
            link("ACL", "SETUSER", "proxy", "on", ">pw", "~*", "+@all", "resetchannels", "&open:*")
        with running_proxy(tmp_path, nodes, "node_username: proxy\nnode_password: pw") as proxy:
            with proxy.link() as listener:
                assert error(listener("SUBSCRIBE", "open:1", "closed:1"), "NOPERM")
                assert listener("PING") == b"PONG"
                assert subscribed(listener, "SUBSCRIBE", "open:1") == 1
                assert proxy("PUBLISH", "open:1", "m") == 1
                assert error(proxy("PUBLISH", "closed:1", "m"), "NOPERM")
            until(lambda: proxy("PUBSUB", "CHANNELS") == [], "nothing to be left behind")


def test_two_proxies_share_what_is_published(tmp_path: Path, nodes: list[Node], proxy: Proxy):
    with running_proxy(tmp_path, nodes) as other, other.link() as there, proxy.link(3) as here:
        subscribed(there, "SUBSCRIBE", "shared")
        subscribed(here, "SUBSCRIBE", "shared")
        assert proxy("PUBLISH", "shared", "m") == other("PUBLISH", "shared", "m") == 2
        assert there.replies(2) == here.replies(2) == [[b"message", b"shared", b"m"]] * 2
        assert other("PUBSUB", "NUMSUB", "shared") == [b"shared", 2]
        assert proxy("PUBSUB", "CHANNELS", "shared") == [b"shared"]
