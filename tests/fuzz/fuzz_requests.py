"""Fuzz the framing and rewriting of requests. The first byte of the input says whether the client is trusted."""

import atheris

with atheris.instrument_imports(include=["tests.oracle.resp"]):
    from tests.oracle import resp as oracle

from proxy.wire import inspect
from tests.fuzz.target import run
from tests.helpers import agree_with_twin
from tests.wire.test_resp import COMPLETE, MALFORMED, TRUNCATED


def check(data):
    agree_with_twin(inspect.frame_requests, oracle.frame_requests, data[1:], trusted=data[:1] != b"\0")


if __name__ == "__main__":
    run("requests", [b"t" + data for data in [*dict(COMPLETE + MALFORMED), *TRUNCATED]], check)
