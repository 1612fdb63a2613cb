"""NodeHealth: every state with every event, and the pauses; PoolHealth: when too many would be out, none is."""

from __future__ import annotations

import pytest

from proxy.control.health import Admit, Connect, Eject, NodeHealth, Ping, PoolHealth, Probe, State

NOW = 100.0
UP, SUSPECT, DOWN, PROBING = State.UP, State.SUSPECT, State.DOWN, State.PROBING

#: Without jitter.
MIDDLE = 0.5


def node(state=UP, attempts=0, **more):
    health = NodeHealth(limit=3, retry=2.0, first=0.1, most=1.0, state=state, **more)
    if attempts:
        health.attempts[0] = attempts
    return health


def failed(failures, lost):
    return lambda health: health.failed(0, failures, lost, "why", NOW, MIDDLE)


def probed(answered):
    return lambda health: health.probed(answered, "" if answered else "why", NOW, MIDDLE)


def pinged(answered):
    return lambda health: health.pinged(answered, "" if answered else "why", NOW, MIDDLE)


def opened(health):
    health.opened(0, NOW)


def probing(health):
    health.probing(NOW)


OUT = [Eject(), Probe(NOW + 2.0)]

# state, event, its actions, the state after it
TABLE = [
    (UP, failed(1, lost=True), [Connect(0, NOW)], SUSPECT),
    (UP, failed(1, lost=False), [Ping(NOW)], SUSPECT),
    (UP, failed(3, lost=True), OUT, DOWN),
    (UP, failed(3, lost=False), OUT, DOWN),
    (UP, opened, None, UP),
    (UP, pinged(True), [], UP),
    (UP, pinged(False), [], UP),
    (UP, probing, None, UP),
    (UP, probed(True), [], UP),
    (UP, probed(False), [], UP),
    (SUSPECT, failed(2, lost=True), [Connect(0, NOW)], SUSPECT),
    (SUSPECT, failed(2, lost=False), [Ping(NOW)], SUSPECT),
    (SUSPECT, failed(3, lost=True), OUT, DOWN),
    (SUSPECT, failed(9, lost=False), OUT, DOWN),
    (SUSPECT, opened, None, UP),
    (SUSPECT, pinged(True), [], UP),
    (SUSPECT, pinged(False), [Ping(NOW + 2.0)], SUSPECT),
    (SUSPECT, probing, None, SUSPECT),
    (SUSPECT, probed(True), [], SUSPECT),
    (SUSPECT, probed(False), [], SUSPECT),
    (DOWN, failed(1, lost=True), [], DOWN),
    (DOWN, failed(9, lost=False), [], DOWN),
    (DOWN, opened, None, DOWN),
    (DOWN, pinged(True), [], DOWN),
    (DOWN, pinged(False), [], DOWN),
    (DOWN, probing, None, PROBING),
    (PROBING, failed(3, lost=True), [], PROBING),
    (PROBING, opened, None, PROBING),
    (PROBING, pinged(True), [], PROBING),
    (PROBING, probing, None, PROBING),
    (PROBING, probed(True), [Admit()], UP),
    (PROBING, probed(False), [Probe(NOW + 2.0)], DOWN),
]


@pytest.mark.parametrize(("state", "event", "actions", "after"), TABLE)
def test_every_state_with_every_event(state, event, actions, after):
    health = node(state)
    assert event(health) == actions
    assert health.state is after
    assert health.ejections == (state in (UP, SUSPECT) and after is DOWN)


def test_the_table_has_every_state():
    assert {row[0] for row in TABLE} == {row[3] for row in TABLE} == set(State)


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


@pytest.mark.parametrize(("chance", "pause"), [(0.0, 1.5), (0.5, 2.0), (0.999, 2.499)])
def test_proxies_do_not_probe_in_step(chance, pause):
    _, probe = node().failed(0, 3, True, "why", NOW, chance)
    assert probe == Probe(pytest.approx(NOW + pause))
    (probe,) = node(PROBING).probed(False, "why", NOW, chance)
    assert probe == Probe(pytest.approx(NOW + pause))


def test_first_attempt_after_success_is_immediate_again():
    health = node(attempts=4)
    opened(health)
    assert failed(1, lost=True)(health) == [Connect(0, NOW)]


def test_engines_pause_by_themselves():
    health = node(attempts=4)
    assert health.failed(1, 1, True, "why", NOW, MIDDLE) == [Connect(1, NOW)]


def test_ejection_forgets_the_pauses():
    health = node(attempts=4)
    failed(3, lost=True)(health)
    probed(True)(health)
    assert failed(1, lost=True)(health) == [Connect(0, NOW)]


def test_it_is_well_when_every_engine_reaches_it():
    health = node()
    health.failed(0, 1, True, "why", NOW, MIDDLE)
    health.failed(1, 1, True, "why", NOW, MIDDLE)
    health.opened(0, NOW)
    assert health.state is SUSPECT
    health.opened(1, NOW)
    assert (health.state, health.reason) == (UP, "")


def test_reason_is_that_of_the_last_failure_until_readmission():
    health = node()
    health.failed(0, 3, True, "refused", NOW, MIDDLE)
    assert (health.reason, health.since) == ("refused", NOW)
    health.probed(False, "silent", NOW + 1, MIDDLE)
    assert (health.reason, health.since) == ("silent", NOW)
    health.probed(True, "", NOW + 2, MIDDLE)
    assert (health.reason, health.since) == ("", NOW + 2)


# -- asking without a reason ------------------------------------------------------------------------------------------


def test_pings_in_a_row_that_are_not_answered_are_failures():
    health = node(every=1.0)
    assert health.begin(NOW, 0.25) == [Ping(NOW + 0.25)]
    assert health.begin(NOW, 0.25) == []  # one at a time
    for answered in (False, False, True, False, False):
        (again,) = pinged(answered)(health)
        assert again == Ping(NOW + 1.0)
        assert health.state is (UP if answered else SUSPECT)
    assert pinged(False)(health) == OUT
    assert health.state is DOWN
    assert probed(True)(health) == [Admit(), Ping(NOW + 0.5)]


def test_a_suspect_is_not_asked_twice_at_once():
    health = node()
    assert failed(1, lost=False)(health) == [Ping(NOW)]
    assert failed(2, lost=False)(health) == []


# -- rate -------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("steps", "after"),
    [
        ([(100, 49)], UP),
        ([(100, 50)], DOWN),
        ([(19, 19)], UP),  # too few to say
        ([(10, 5), (10, 5)], DOWN),  # together
        ([(100, 0)] * 9 + [(100, 60)], UP),
        ([(100, 60)] + [(100, 0)] * 20 + [(9, 9)], DOWN),
    ],
)
def test_too_many_of_all_requests_time_out(steps, after):
    health = node(rate=0.5)
    requests = timeouts = 1000
    assert health.counted(requests, timeouts, NOW, MIDDLE) == []
    for asked, late in steps:
        requests, timeouts = requests + asked, timeouts + late
        actions = health.counted(requests, timeouts, NOW, MIDDLE)
        if actions:
            break
    assert health.state is after
    assert actions == (OUT if after is DOWN else [])


# -- panic ------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("states", "share", "panic"),
    [
        ([UP, UP, DOWN], 0.5, False),
        ([UP, DOWN], 0.5, False),
        ([UP, DOWN, PROBING], 0.5, True),
        ([UP, DOWN, SUSPECT], 0.5, False),
        ([DOWN], 0.5, True),
        ([DOWN, DOWN], 1.0, False),
    ],
)
def test_if_too_many_would_be_out_none_is(states, share, panic):
    pool = PoolHealth([node(state) for state in states], share)
    out = [place for place, state in enumerate(states) if state in (DOWN, PROBING)]
    assert pool.weigh() == ([(place, Admit()) for place in out] if panic else [])
    assert pool.panicking is panic
    assert pool.weigh() == []


def test_when_the_panic_is_over_those_that_are_down_still_are_out():
    one, two, three = nodes = [node(), node(PROBING), node(DOWN)]
    pool = PoolHealth(nodes, 0.5)
    assert pool.weigh() == [(1, Admit()), (2, Admit())]
    # They are tried like any other, by and by, and are probed: nothing else says that they are back.
    (connect,) = failed(7, lost=True)(three)
    assert isinstance(connect, Connect) and connect.at > NOW
    opened(three)
    assert three.state is DOWN
    assert probed(True)(two) == [Admit()]
    assert pool.weigh() == [(2, Eject())]
    assert not pool.panicking and one.state is UP
    assert failed(8, lost=True)(three) == []
