"""The design: a study file becomes cells, cells become trials with identities and seeds, and all of it can be built."""

from cnnbench.design.cells import (
    DatasetNeed,
    baseline_of,
    cell_recipes,
    dataset_needs,
    factors_of,
    planned_cells,
    responses_of,
)
from cnnbench.design.feasibility import Feasibility, Probe, probe
from cnnbench.design.network import build_network, group_multipliers, trainable_groups
from cnnbench.design.plan import make_plan
from cnnbench.design.rounds import declared_for, is_last, rounds
from cnnbench.design.seeds import trial_seeds

__all__ = [
    "DatasetNeed",
    "Feasibility",
    "Probe",
    "baseline_of",
    "build_network",
    "cell_recipes",
    "dataset_needs",
    "declared_for",
    "factors_of",
    "group_multipliers",
    "is_last",
    "make_plan",
    "planned_cells",
    "probe",
    "responses_of",
    "rounds",
    "trainable_groups",
    "trial_seeds",
]
