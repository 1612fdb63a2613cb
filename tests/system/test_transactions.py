"""Transactions are not there yet. What matters until then: nothing of a refused one is executed."""

from __future__ import annotations

import pytest
import redis

from tests.system.conftest import pool_config


@pytest.fixture
def client(redis_nodes, proxy_process):
    _, port = proxy_process(pool_config(redis_nodes(2)))
    with redis.Redis(port=port) as link:
        yield link


def test_a_pipeline_that_is_a_transaction_writes_nothing(client):
    with pytest.raises(redis.ResponseError, match="'multi' is not supported yet"):
        client.pipeline().set("a", 1).incr("b").execute()
    assert client.mget("a", "b") == [None, None]
    assert client.set("a", 2) is True


def test_everything_up_to_exec_or_discard_is_refused(client):
    link = client.connection_pool.get_connection()

    def ask(*words):
        link.send_command(*words)
        try:
            return link.read_response()
        except redis.ResponseError as error:
            return str(error)

    for ending, answer in (("EXEC", "Transaction discarded because of previous errors."), ("DISCARD", b"OK")):
        assert "not supported yet" in ask("MULTI")
        assert "'set' was not executed" in ask("SET", "k", "v")
        assert "'ping' was not executed" in ask("PING")
        assert ask(ending) == answer
        assert ask("PING") == b"PONG"
    assert "not supported yet" in ask("MULTI")
    assert ask("RESET") == b"RESET"
    assert ask("GET", "k") is None
