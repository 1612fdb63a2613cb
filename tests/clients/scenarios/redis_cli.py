"""redis-cli: `redis_cli.py PORT PROTOCOL`."""

from __future__ import annotations

import subprocess
import sys
import tempfile
import threading

from steps import EVERY_BYTE, LARGE, MANY, restart, step, until

base = ["redis-cli", "-p", sys.argv[1], "-" + sys.argv[2]]


def cli(*words: str, text: bytes | None = None) -> bytes:
    """What it prints; it has to succeed."""
    done = subprocess.run([*base, *words], input=text, capture_output=True, timeout=20, check=True)
    return done.stdout


class Session:
    """redis-cli reading commands from a pipe, one connection for all of them."""

    def __init__(self, *words: str) -> None:
        self.process = subprocess.Popen([*base, *words], stdin=subprocess.PIPE, stdout=subprocess.PIPE, bufsize=0)
        self.lines: list[bytes] = []
        self.reader = threading.Thread(target=self.read)
        self.reader.start()

    def read(self) -> None:
        assert self.process.stdout
        for line in self.process.stdout:
            self.lines.append(line.rstrip(b"\n"))

    def send(self, line: str) -> None:
        assert self.process.stdin
        self.process.stdin.write(line.encode() + b"\n")

    def __enter__(self) -> Session:
        return self

    def __exit__(self, *_: object) -> None:
        self.process.kill()
        self.process.wait()
        self.reader.join()


with step("connect"):
    assert cli("ping") == b"PONG\n"
    assert b"redis_version:" in cli("info", "server")
    assert cli("-n", "1", "set", "connect", "one") == b"OK\n"
    assert cli("-n", "1", "del", "connect") == b"1\n"
    assert cli("nosuch").startswith(b"ERR unknown command 'nosuch'")
    assert cli("--no-raw", "hgetall", "nokey") == (b"(empty hash)\n" if sys.argv[2] == "3" else b"(empty array)\n")
    assert b"summary:" in cli("help", "get")

with step("pipeline"):
    requests = b"".join(b"SET many:%d %d\r\n" % (number, number) for number in range(MANY))
    assert b"errors: 0, replies: %d" % MANY in cli("--pipe", text=requests)
    assert cli(text=b"".join(b"get many:%d\n" % number for number in range(200))) == b"".join(
        b"%d\n" % number for number in range(200)
    )

with step("transaction"):
    assert cli(text=b"del {t}n\nmulti\nincr {t}n\nincrby {t}n 4\nexec\n") == b"0\nOK\nQUEUED\nQUEUED\n1\n5\n"
    assert b"EXECABORT" in cli(text=b"multi\nincr {t}n\nnosuch\nexec\n")
    assert cli("get", "{t}n") == b"5\n"
    assert cli(text=b"watch {t}n\nincr {t}n\nmulti\nget {t}n\nexec\n") == b"OK\n6\nOK\nQUEUED\n\n"
    assert cli(text=b"multi\nset {t}n 0\ndiscard\nget {t}n\n") == b"OK\nQUEUED\nOK\n6\n"

with step("pubsub"), Session("subscribe", "news:cli") as listener:
    until(lambda: listener.lines == [b"subscribe", b"news:cli", b"1"])
    assert cli("publish", "news:cli", "hello") == b"1\n"
    until(lambda: listener.lines[-3:] == [b"message", b"news:cli", b"hello"])

with step("blocking"):
    cli("del", "{b}l")
    with Session("blpop", "{b}m", "{b}l", "10") as waiter:
        until(lambda: b"blocked_clients:1" in cli("info", "clients"))
        assert cli("rpush", "{b}l", "one") == b"1\n"
        until(lambda: waiter.lines == [b"{b}l", b"one"])
    assert cli("brpop", "{b}l", "0.05") == b"\n"

with step("scan"):
    cli("mset", *(word for number in range(1000) for word in (f"scan:{number}", str(number))))
    found = cli("--scan", "--pattern", "scan:*").split()
    assert len(found) == 1000 and set(found) == {b"scan:%d" % number for number in range(1000)}
    cli("rpush", "scanned", *map(str, range(50)))
    assert b"Biggest   list found" in cli("--bigkeys")
    assert b"Sampled" in cli("--memkeys")

with step("script"), tempfile.NamedTemporaryFile("w", suffix=".lua") as file:
    file.write("return redis.call('INCRBY', KEYS[1], ARGV[1])")
    file.flush()
    cli("del", "script:n")
    assert cli("--eval", file.name, "script:n", ",", "3") == b"3\n"
    sha = cli("script", "load", "return redis.call('INCRBY', KEYS[1], ARGV[1])").decode().strip()
    cli("del", "script:o", "script:p")
    assert [cli("evalsha", sha, "1", f"script:{letter}", "4") for letter in "nop"] == [b"7\n", b"4\n", b"4\n"]

with step("binary"):
    assert cli("-x", "set", "binary", text=EVERY_BYTE) == b"OK\n"
    assert cli("get", "binary") == EVERY_BYTE + b"\n"

with step("large"):
    assert cli("-x", "set", "large", text=LARGE) == b"OK\n"
    assert cli("get", "large") == LARGE + b"\n"
    assert cli("del", "large") == b"1\n"

with step("restart"), Session() as session:
    session.send("client id")
    until(lambda: session.lines)
    identity = session.lines[0]
    restart()
    for number in range(30):
        until(lambda number=number: cli("set", f"again:{number}", str(number)) == b"OK\n")
    session.send("get again:7")
    until(lambda: session.lines[-1:] == [b"7"])
    session.send("client id")
    until(lambda: session.lines[-1:] == [identity])
