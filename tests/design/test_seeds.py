from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cnnbench.design import trial_seeds
from cnnbench.types import STREAMS

CELL = {"depth": 8, "regime": "none"}
LEVELS = st.one_of(st.integers(-100, 100), st.booleans(), st.text(max_size=5), st.floats(allow_nan=False))
CELLS = st.dictionaries(st.text(max_size=5), LEVELS, max_size=3)

SHARED = {
    "split": 6711448607817487297,
    "init": 8744200018790984639,
    "order": 1282601982308204815,
    "augment": 1582233006796571138,
    "dropout": 9048229531057509598,
}
INDEPENDENT = {
    "split": 3710156891161919571,
    "init": 231358549156843439,
    "order": 4711243244339419333,
    "augment": 5834556837429125384,
    "dropout": 3357943381062438150,
}


def test_seeds_stay_what_they_were():
    assert trial_seeds(0, 0, CELL, "shared") == SHARED
    assert trial_seeds(7, 2, CELL, "independent") == INDEPENDENT


@given(st.integers(0, 2**70), st.integers(0, 1000), CELLS, st.sampled_from(["shared", "independent"]))
def test_each_stream_has_a_seed_of_its_own_below_two_to_the_63(base: int, replicate: int, cell: dict, pairing: str):
    seeds = trial_seeds(base, replicate, cell, pairing)
    assert tuple(seeds) == STREAMS
    assert len(set(seeds.values())) == len(STREAMS)
    assert all(0 <= seed < 2**63 for seed in seeds.values())


@given(CELLS, CELLS)
def test_shared_seeds_are_the_same_in_every_cell(one: dict, other: dict):
    assert trial_seeds(3, 1, one, "shared") == trial_seeds(3, 1, other, "shared")


@pytest.mark.parametrize("other", [{"depth": 14, "regime": "none"}, {"depth": "8", "regime": "none"}, {"depth": 8}])
def test_independent_seeds_differ_from_cell_to_cell(other: dict):
    here, there = trial_seeds(3, 1, CELL, "independent"), trial_seeds(3, 1, other, "independent")
    assert [stream for stream in STREAMS if here[stream] == there[stream]] == []


def test_independent_seeds_do_not_depend_on_the_order_of_factors():
    assert trial_seeds(3, 1, CELL, "independent") == trial_seeds(3, 1, dict(reversed(CELL.items())), "independent")


@pytest.mark.parametrize("pairing", ["shared", "independent"])
def test_replicates_and_base_seeds_give_other_seeds(pairing: str):
    drawn = [trial_seeds(base, replicate, CELL, pairing)[s] for base in (0, 1) for replicate in (0, 1) for s in STREAMS]
    assert len(set(drawn)) == len(drawn)
