"""What a message costs that goes to many subscribers of one channel.

Plain Python sockets: what counts is the CPU of the target for each delivery, so the pace of this side does not matter,
as long as nobody waits for it: a round is some messages in one write, and ends when every subscriber has them all.
"""

from __future__ import annotations

import select
import socket
import time

from bench.targets import Running

CHANNEL = b"bench"
WARM_ROUNDS = 3


def fan_out(target: Running, subscribers: int, value_size: int, depth: int, seconds: float) -> dict[str, float]:
    """Rounds of `depth` messages of `value_size` bytes: deliveries a second, and CPU (µs) of the front process and of
    the nodes for each."""
    body = b"x" * value_size
    request = b"*3\r\n$7\r\nPUBLISH\r\n$5\r\n%b\r\n$%d\r\n%b\r\n" % (CHANNEL, value_size, body)
    message = b"*3\r\n$7\r\nmessage\r\n$5\r\n%b\r\n$%d\r\n%b\r\n" % (CHANNEL, value_size, body)
    answer = b":%d\r\n" % subscribers
    links = [socket.create_connection(("127.0.0.1", target.port), timeout=30) for _ in range(subscribers + 1)]
    errors = rounds = 0
    with select.epoll() as epoll:
        by_number = {link.fileno(): link for link in links}
        owed = dict.fromkeys(by_number, 0)
        publisher = links[-1].fileno()
        for link in links[:-1]:
            link.sendall(b"*2\r\n$9\r\nSUBSCRIBE\r\n$5\r\n%b\r\n" % CHANNEL)
        for link in links[:-1]:
            errors += not link.recv(64).startswith(b"*3\r\n$9\r\nsubscribe")
        for number in by_number:
            epoll.register(number, select.EPOLLIN)
        began, front, nodes = 0.0, 0, 0
        while rounds <= WARM_ROUNDS or time.monotonic() - began < seconds:
            if rounds == WARM_ROUNDS:
                began, front = time.monotonic(), target.front.cpu_ns()
                nodes = sum(node.cpu_ns() for node in target.nodes)
            rounds += 1
            owed = dict.fromkeys(by_number, depth * len(message))
            owed[publisher] = depth * len(answer)
            left = len(owed)
            by_number[publisher].sendall(request * depth)
            while left:
                found = epoll.poll(10)
                if not found:
                    raise OSError(f"{left} of {subscribers} subscribers wait for messages that do not come")
                for number, _ in found:
                    data = by_number[number].recv(1 << 18)
                    errors += not data or data[:1] not in b"*:" or len(data) > owed[number]
                    owed[number] -= len(data)
                    left -= owed[number] == 0
    elapsed = time.monotonic() - began
    front = target.front.cpu_ns() - front
    nodes = sum(node.cpu_ns() for node in target.nodes) - nodes
    for link in links:
        link.close()
    deliveries = (rounds - WARM_ROUNDS) * depth * subscribers
    return {
        "rate": deliveries / elapsed, "front_us": front / 1000 / deliveries, "nodes_us": nodes / 1000 / deliveries,
        "errors": errors,
    }  # fmt: skip
