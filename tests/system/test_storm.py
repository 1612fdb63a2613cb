"""A storm: nodes are killed, frozen and cut off at random under load, and no reply reaches the wrong request.

Values carry their key, so that a reply that went astray shows.
"""

import random
import re
import threading
import time

import hiredis

from tests.redis_server import needs_redis_server
from tests.system.tier import running_nodes, running_proxy, until


@needs_redis_server
def test_no_reply_reaches_the_wrong_request(tmp_path):
    """Ten seconds of kills, freezes and cut connections: each reply carries its key, or is an error that we know."""
    known = re.compile(
        "was not sent|did not answer '|fate of '|was lost |^LOADING |^ERR pool test has no live node"
    )
    options = (
        "timeout: 100ms\nconnect_timeout: 200ms\nserver_failure_limit: 20\nserver_retry_timeout: 50ms\n"
        "limits: {tombstone_age: 200ms, max_tombstones: 50}\nreconnect: {first: 5ms, most: 50ms}"
    )
    with running_nodes(tmp_path, 3) as nodes, running_proxy(tmp_path, nodes, options, engines=2) as proxy:
        ending = threading.Event()
        wrong, right, refused = [], [0], [0]

        def check(words, reply):
            if isinstance(reply, hiredis.ReplyError):
                if not known.search(str(reply)):
                    wrong.append((words, reply))
                refused[0] += 1
                return
            fine = True
            if words[0] == "GET":
                fine = reply is None or reply.startswith(words[1].encode() + b"=")
            elif words[0] == "SET":
                fine = reply == b"OK"
            elif words[0] == "MGET":
                fine = len(reply) == len(words) - 1 and all(
                    item is None or item.startswith(key.encode() + b"=")
                    for key, item in zip(words[1:], reply, strict=True)
                )
            elif words[0] == "ECHO":
                fine = reply == words[1].encode()
            if not fine:
                wrong.append((words, reply))
            right[0] += 1

        def client(seed):
            chance = random.Random(seed)

            def key():
                return f"k:{chance.randrange(500)}"

            with proxy.link(2 + seed % 2) as link:
                while not ending.is_set():
                    batch = []
                    for _ in range(chance.choice([1, 1, 5, 40])):
                        kind = chance.random()
                        one = key()
                        if kind < 0.45:
                            batch.append(["GET", one])
                        elif kind < 0.8:
                            batch.append(["SET", one, f"{one}=" + "x" * chance.choice([1, 100, 9000])])
                        elif kind < 0.95:
                            batch.append(["MGET", *(key() for _ in range(6))])
                        else:
                            batch.append(["ECHO", f"{seed}:{chance.random()}"])
                    link.send(*batch)
                    for words in batch:
                        check(words, link.reply())

        failures = []

        def guarded(seed):
            try:
                client(seed)
            except BaseException as failure:
                failures.append(failure)

        threads = [threading.Thread(target=guarded, args=(seed,)) for seed in range(8)]
        for thread in threads:
            thread.start()
        chance = random.Random(11)
        deadline = time.monotonic() + 8
        while time.monotonic() < deadline:
            node = chance.choice(nodes)
            trick = chance.random()
            if trick < 0.5:
                node("CLIENT", "KILL", "TYPE", "normal")
            elif trick < 0.8:
                node.freeze()
                time.sleep(chance.choice([0.02, 0.15, 0.4]))
                node.thaw()
            else:
                node.kill()
                node.start()
            time.sleep(chance.random() * 0.2)  # some time of peace
        ending.set()
        for thread in threads:
            thread.join(30)
            assert not thread.is_alive(), "a client waits for a reply that never comes"
        assert not failures
        assert not wrong
        assert right[0] > 1000
        assert refused[0] > 10
        with proxy.link() as link:
            keys = [f"k:{number}" for number in range(100)]
            until(lambda: all(link("SET", key, f"{key}=") == b"OK" for key in keys), "all is well again")
            assert [link("GET", key) for key in keys] == [f"{key}=".encode() for key in keys]
