"""redis-benchmark: `redis_benchmark.py PORT`. Its steps are its options; each runs every test it has by default."""

from __future__ import annotations

import subprocess
import sys

from steps import step


def benchmark(*options: str, tests: int = 18) -> None:
    """It ends with success, says nothing of an error, and has measured at least so many commands."""
    command = ["redis-benchmark", "-p", sys.argv[1], "-n", "1000", "-c", "20", "-r", "1000", "-q", *options]
    done = subprocess.run(command, capture_output=True, text=True, timeout=30, check=False)
    said = done.stdout + done.stderr
    assert done.returncode == 0 and "rror" not in said, said[-300:]
    assert done.stdout.count("requests per second") >= tests, said


with step("defaults"):
    benchmark()
with step("pipelined"):
    benchmark("-P", "16")
with step("resp3"):
    benchmark("-3")
with step("threads"):
    benchmark("--threads", "2", "-t", "get,set,incr,lpush,mset", tests=5)
with step("command"):
    benchmark("eval", "return redis.call('incr', KEYS[1])", "1", "bench:__rand_int__", tests=1)
with step("database"):
    benchmark("--dbnum", "3", "-t", "get,set", tests=2)
