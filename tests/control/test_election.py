"""Election: proxies that agree through their voters, simulated with everything going wrong; and what breaks without
each of its rules."""

from __future__ import annotations

import pytest

from proxy.control import election as module
from proxy.control.election import Election
from proxy.control.epoch import _decoder
from tests.control.failing import Simulation

SEEDS = range(16)


@pytest.mark.parametrize("seed", SEEDS)
def test_one_primary_an_epoch(seed):
    simulation = Simulation(seed).run(20.0, calm=4.0)
    simulation.check()
    # And it goes on: in the end everybody has the same record, every member a primary, and writes flow.
    for member in simulation.members:
        places = [proxy.election.record.primary(member) for proxy in simulation.proxies]
        assert places[0]
        assert places == places[:1] * 3
    for writes in simulation.acknowledged.values():
        assert len(writes) > 100
        assert writes[-1].at > 23.5


# -- what each rule is for: a pool of three nodes and three proxies, one fault, and the rule broken or not -------------


def proxy_and_primary_alone(simulation):
    """p0 and the primary on one side, everybody else on the other."""
    simulation.later(3.0, lambda: simulation.part({"p0", "a1"}))


def primary_reached_by_one(simulation):
    """Only p0 still reaches the primary, but it reaches everybody else, too."""

    def cut():
        simulation.part({"a1"})
        simulation.cut -= {("p0", "a1"), ("a1", "p0")}

    simulation.later(3.0, cut)


def slow_replies(simulation):
    """And what the others tell p0 takes long."""
    primary_reached_by_one(simulation)
    simulation.later(2.0, lambda: simulation.lags.update({("p0", "a2"): 0.9, ("p0", "a3"): 0.9}))


def snapshot(simulation):
    """p0 and the old primary are joined by a node that was restarted with what it knew before the promotion."""
    kept = {}
    simulation.later(2.0, lambda: kept.update(simulation.nodes["a3"].keys))
    proxy_and_primary_alone(simulation)

    def join():
        simulation.cut.clear()
        simulation.restart(simulation.nodes["a3"], kept)
        simulation.part({"p0", "a1", "a3"})

    simulation.later(6.0, join)


FAULTS = [proxy_and_primary_alone, primary_reached_by_one, slow_replies, snapshot]


def run(fault, seed=1, **options):
    simulation = Simulation(seed, calm=True, **options)
    fault(simulation)
    return simulation


@pytest.mark.parametrize("fault", FAULTS)
def test_another_primary_takes_over(fault):
    simulation = run(fault).run(9.0)
    simulation.check()
    after = [write for write in simulation.acknowledged["a"] if write.place.address != "a1"]
    assert after
    assert 0.5 < after[0].at - 3.0 < 1.5


@pytest.mark.parametrize("seed", range(1, 2 * len(SEEDS), 2))
def test_proxies_do_not_get_in_each_others_way_over_a_primary_that_hangs(seed):
    """All of them see at the same moment that its replicas get nothing more."""
    simulation = Simulation(seed, calm=True)
    simulation.later(3.0, lambda: setattr(simulation.nodes["a1"], "hung", True))
    simulation.run(6.0).check()
    assert min(write.at for write in simulation.acknowledged["a"] if write.place.address != "a1") - 3.0 < 1.3


class Hasty(Election):
    """One voter is enough."""

    def __init__(self, *words, **options):
        super().__init__(*words, **options)
        self._majority = 1


def caught(simulation):
    with pytest.raises(AssertionError, match=r"although|two primaries"):
        simulation.run(9.0).check()


def test_promotion_without_a_majority_is_noticed():
    caught(run(proxy_and_primary_alone, election_type=Hasty))


def test_promotion_without_the_wait_is_noticed(monkeypatch):
    monkeypatch.setattr(module, "MARGIN", 0.0)
    caught(run(primary_reached_by_one, 3))


def test_a_lease_that_begins_with_the_reply_is_noticed():
    simulation = run(slow_replies)
    simulation.lease_from_reply = True
    caught(simulation)


def test_a_record_from_the_past_is_noticed():
    simulation = run(snapshot)
    simulation.decode = lambda value, report: _decoder.decode(value).record if value else None
    caught(simulation)
