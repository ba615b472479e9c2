"""A weighted sum of cell means with its uncertainty: contrasts, slopes and means alike.

`estimate` takes the method that the design decides; the others stand beside it.
"""

from cnnbench.stats.effects.estimate.by_design import estimate
from cnnbench.stats.effects.estimate.independent import additive_weights, pooled, welch
from cnnbench.stats.effects.estimate.nested_seeds import split_plot
from cnnbench.stats.effects.estimate.shared_seeds import (
    FEWEST_FOR_SIGN_FLIP,
    complete_only,
    fixed_block,
    per_seed,
    sign_flip_p,
)
from cnnbench.stats.effects.estimate.value import Estimate, equivalence_p, two_sided_p

__all__ = [
    "FEWEST_FOR_SIGN_FLIP",
    "Estimate",
    "additive_weights",
    "complete_only",
    "equivalence_p",
    "estimate",
    "fixed_block",
    "per_seed",
    "pooled",
    "sign_flip_p",
    "split_plot",
    "two_sided_p",
    "welch",
]
