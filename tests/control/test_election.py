"""Election: proxies that agree through their voters, simulated with everything going wrong; and what breaks without each
of its rules."""

from __future__ import annotations

import pytest

from proxy.control import election as module
from proxy.control.election import Election
from proxy.control.epoch import _decoder
from tests.control.failing import Simulation

SEEDS = range(24)


@pytest.mark.parametrize("seed", SEEDS)
def test_one_primary_an_epoch(seed):
    simulation = Simulation(seed).run(20.0, calm=4.0)
    simulation.check()
    # And it goes on: in the end everybody has the same record, every member a primary, and writes flow.
    records = [proxy.election.record for proxy in simulation.proxies]
    assert all(record == records[0] for record in records)
    assert all(records[0].primary(member) for member in simulation.members)
    for writes in simulation.acknowledged.values():
        assert len(writes) > 100
        assert writes[-1].at > 23.5


def caught(prepare, **options):
    """Some seed shows it."""
    for seed in range(200):
        simulation = Simulation(seed, **options)
        prepare(simulation)
        try:
            simulation.run(20.0).check()
        except AssertionError:
            return seed
    return None


class Hasty(Election):
    """One voter is enough."""

    def __init__(self, *words, **options):
        super().__init__(*words, **options)
        self._majority = 1


def test_promotion_without_a_majority_is_noticed():
    assert caught(lambda simulation: None, election_type=Hasty) is not None


def test_promotion_without_the_wait_is_noticed(monkeypatch):
    monkeypatch.setattr(module, "MARGIN", 0.0)
    assert caught(lambda simulation: None) is not None


def test_a_lease_that_begins_with_the_reply_is_noticed():
    def prepare(simulation):
        simulation.lease_from_reply = True

    assert caught(prepare) is not None


def test_a_record_from_the_past_is_noticed():
    def prepare(simulation):
        simulation.decode = lambda value, report: value and _decoder.decode(value).record

    assert caught(prepare) is not None
