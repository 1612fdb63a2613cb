"""Fuzz the framing of replies."""

import atheris

with atheris.instrument_imports(include=["tests.oracle.resp"]):
    from tests.oracle import resp as oracle

from proxy.wire import inspect
from tests.fuzz.target import run
from tests.helpers import agree_with_twin
from tests.wire.test_reply import MALFORMED, REPLIES, TRUNCATED


def check(data):
    agree_with_twin(inspect.frame_replies, oracle.frame_replies, data)


if __name__ == "__main__":
    run("replies", [*REPLIES, *MALFORMED, *TRUNCATED], check)
