"""The cursor of SCAN over many nodes: exact, and it visits every node's scan from its start to its end."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from proxy.lanes.scan import MOST, compose, take_apart

nodes_ = st.integers(1, 10_000)


@given(nodes_, st.data())
def test_a_cursor_comes_back_as_it_was(nodes, data):
    node = data.draw(st.integers(0, nodes - 1))
    cursor = data.draw(st.integers(1, (MOST - 1 - node) // nodes))
    made = compose(node, cursor, nodes)
    assert 0 < made < MOST
    assert take_apart(made, nodes) == (node, cursor)


@given(nodes_, st.data())
def test_one_that_does_not_fit_is_an_error(nodes, data):
    node = data.draw(st.integers(0, nodes - 1))
    least = (MOST - 1 - node) // nodes + 1
    with pytest.raises(ValueError, match="64 bits"):
        compose(node, data.draw(st.integers(least, least + MOST)), nodes)


@given(st.lists(st.lists(st.integers(1, MOST // 50), unique=True, max_size=5), min_size=1, max_size=12))
def test_every_step_of_every_node_is_taken_once(scans):
    """`scans` has, by node, the cursors that its own scan gives before the 0 that ends it."""
    nodes = len(scans)
    seen = []
    cursor = 0
    while True:
        node, own = take_apart(cursor, nodes)
        seen.append((node, own))
        steps = [0, *scans[node], 0]
        cursor = compose(node, steps[steps.index(own) + 1], nodes)
        if cursor == 0:
            break
    assert seen == [(node, own) for node, scan in enumerate(scans) for own in (0, *scan)]


@given(st.integers(0, MOST - 1))
def test_one_node_has_its_own_cursors(cursor):
    assert compose(0, cursor, 1) == cursor
    assert take_apart(cursor, 1) == (0, cursor)


def test_a_billion_keys_on_a_hundred_nodes_fit_a_double():
    assert compose(99, (1 << 30) - 1, 100) < 1 << 53
