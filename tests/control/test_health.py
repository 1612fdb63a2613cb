"""NodeHealth: every state with every event, and the pauses between reconnections."""

from __future__ import annotations

import pytest

from proxy.control.health import Admit, Connect, Eject, NodeHealth, Probe, State

NOW = 100.0
UP, EJECTED = State.UP, State.EJECTED


def node(state=UP, attempts=0):
    health = NodeHealth(limit=3, retry=2.0, first=0.1, most=1.0, state=state)
    if attempts:
        health.attempts[0] = attempts
    return health


def failed(failures, lost):
    return lambda health: health.failed(0, failures, lost, "why", NOW, 0.0)


def probed(answered):
    return lambda health: health.probed(answered, "" if answered else "why", NOW)


# state, event, its actions, the state after it
TABLE = [
    (UP, failed(1, lost=True), [Connect(0, NOW)], UP),
    (UP, failed(1, lost=False), [], UP),
    (UP, failed(2, lost=True), [Connect(0, NOW)], UP),
    (UP, failed(3, lost=True), [Eject(NOW + 2.0)], EJECTED),
    (UP, failed(3, lost=False), [Eject(NOW + 2.0)], EJECTED),
    (UP, failed(9, lost=True), [Eject(NOW + 2.0)], EJECTED),
    (UP, probed(True), [], UP),
    (UP, probed(False), [], UP),
    (UP, lambda health: health.opened(0), None, UP),
    (EJECTED, failed(1, lost=True), [], EJECTED),
    (EJECTED, failed(3, lost=True), [], EJECTED),
    (EJECTED, failed(9, lost=False), [], EJECTED),
    (EJECTED, probed(True), [Admit()], UP),
    (EJECTED, probed(False), [Probe(NOW + 2.0)], EJECTED),
    (EJECTED, lambda health: health.opened(0), None, EJECTED),
]


@pytest.mark.parametrize(("state", "event", "actions", "after"), TABLE)
def test_every_state_with_every_event(state, event, actions, after):
    health = node(state)
    assert event(health) == actions
    assert health.state is after
    assert health.ejections == (state is UP and after is EJECTED)


@pytest.mark.parametrize(
    ("attempts", "chance", "pause"),
    [
        (0, 0.9, 0.0),
        (1, 0.0, 0.05),
        (1, 0.5, 0.075),
        (2, 0.0, 0.1),
        (3, 0.0, 0.2),
        (4, 0.0, 0.4),
        (5, 0.0, 0.5),
        (500, 0.0, 0.5),
    ],
)
def test_pause_doubles_up_to_its_bound(attempts, chance, pause):
    (action,) = node(attempts=attempts).failed(0, 1, True, "why", NOW, chance)
    assert action == Connect(0, pytest.approx(NOW + pause))


def test_first_attempt_after_success_is_immediate_again():
    health = node(attempts=4)
    health.opened(0)
    assert failed(1, lost=True)(health) == [Connect(0, NOW)]


def test_engines_pause_by_themselves():
    health = node(attempts=4)
    assert health.failed(1, 1, True, "why", NOW, 0.0) == [Connect(1, NOW)]


def test_ejection_forgets_the_pauses():
    health = node(attempts=4)
    failed(3, lost=True)(health)
    probed(True)(health)
    assert failed(1, lost=True)(health) == [Connect(0, NOW)]


def test_reason_is_that_of_the_last_failure_until_readmission():
    health = node()
    health.failed(0, 3, True, "refused", NOW, 0.0)
    assert health.reason == "refused"
    health.probed(False, "silent", NOW)
    assert health.reason == "silent"
    health.probed(True, "", NOW)
    assert health.reason == ""
