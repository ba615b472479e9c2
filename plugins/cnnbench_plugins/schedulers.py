"""Learning-rate schedules: pure functions of where training stands in its phase.

Cycles are counted in whole steps, so a restart falls exactly on a step however an epoch divides.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Literal

from pydantic import Field

from cnnbench.plugin import Scheduler

if TYPE_CHECKING:
    from cnnbench.plugin import Progress

__all__ = ["Constant", "Cosine", "Cyclic", "KerasDecay", "Sgdr", "Step", "Warmup"]


class Constant(Scheduler):
    """The base learning rate throughout."""

    key = "constant"

    def multiplier(self, progress: Progress) -> float:  # noqa: ARG002 - the contract passes it to every schedule
        """Return 1."""
        return 1.0


class Step(Scheduler):
    """Lower the rate by a factor at regular intervals."""

    key = "step"
    every_epochs: int = Field(10, ge=1, description="Epochs between two drops.")
    factor: float = Field(0.1, gt=0, le=1, description="What the rate is multiplied by at each drop.")

    def multiplier(self, progress: Progress) -> float:
        """Return ``factor ** drops``."""
        drops = progress.step // (self.every_epochs * progress.steps_per_epoch)
        # A float power underflows to 0 rather than raising, which is what a rate after very many drops is.
        return self.factor**drops


class KerasDecay(Scheduler):
    """``1 / (1 + decay x step)``: the argument ``decay`` of Keras' optimizers before version 2.11.

    Also called inverse time decay. Hasan (2020, section 2.1.1) uses it with 0.001. A step is a batch, so the same
    ``decay`` acts faster where an epoch has more batches.
    """

    key = "keras-decay"
    decay: float = Field(1e-3, ge=0, description="Share of the base rate that is added to the divisor at every step.")

    def multiplier(self, progress: Progress) -> float:
        """Return the quotient for the steps done in this phase."""
        return 1 / (1 + self.decay * progress.step)


class Cosine(Scheduler):
    """One half-wave of a cosine over the phase (Loshchilov & Hutter 2017, arXiv:1608.03983, without restarts)."""

    key = "cosine"
    floor: float = Field(0.0, ge=0, le=1, description="Multiplier approached at the end of the phase.")

    def multiplier(self, progress: Progress) -> float:
        """Return the cosine's value at the phase's fraction."""
        return _anneal(progress.fraction, self.floor)


class Warmup(Scheduler):
    """A linear warm-up, then a constant rate or a cosine (Goyal et al. 2017, arXiv:1706.02677, section 2.2)."""

    key = "warmup"
    epochs: float = Field(1.0, gt=0, description="Length of the warm-up; the full rate is reached on its last step.")
    start: float = Field(0.0, ge=0, le=1, description="Multiplier from which the warm-up rises.")
    then: Literal["constant", "cosine"] = Field("constant", description="What follows until the end of the phase.")
    floor: float = Field(0.0, ge=0, le=1, description="Multiplier approached at the end of the cosine.")

    def multiplier(self, progress: Progress) -> float:
        """Return the ramp's value, or that of what follows it."""
        warm_steps = _steps(self.epochs, progress)
        if progress.step < warm_steps:
            return self.start + (1 - self.start) * (progress.step + 1) / warm_steps
        if self.then == "constant":
            return 1.0
        return _anneal((progress.step - warm_steps) / (progress.total_steps - warm_steps), self.floor)


class Sgdr(Scheduler):
    """Cosine annealing with warm restarts (Loshchilov & Hutter 2017, arXiv:1608.03983, section 3, equation 5)."""

    key = "sgdr"
    cycle_epochs: float = Field(1.0, gt=0, description="Length of the first cycle (T_0).")
    cycle_mult: int = Field(1, ge=1, description="How much longer each cycle is than the one before (T_mult).")
    floor: float = Field(0.0, ge=0, le=1, description="Multiplier approached at the end of a cycle.")

    def multiplier(self, progress: Progress) -> float:
        """Return the cosine's value at the cycle's fraction; it is updated at every step, not every epoch."""
        _, fraction = _cycle(progress.step, _steps(self.cycle_epochs, progress), self.cycle_mult)
        return _anneal(fraction, self.floor)


class Cyclic(Scheduler):
    """Triangular cyclical learning rate (Smith 2015, arXiv:1506.01186, section 3).

    The optimizer's rate is the paper's ``max_lr``; `base` times it is the paper's ``base_lr``. The paper's
    ``stepsize``, half a cycle, is ``cycle_epochs / 2``.
    """

    key = "cyclic"
    cycle_epochs: float = Field(2.0, gt=0, description="Length of the first cycle, up and down.")
    cycle_mult: int = Field(1, ge=1, description="How much longer each cycle is than the one before.")
    base: float = Field(0.1, ge=0, le=1, description="Multiplier at the beginning and the end of a cycle.")
    policy: Literal["triangular", "triangular2"] = Field(
        "triangular", description="`triangular2` halves the height of the triangle after every cycle (section 3.2)."
    )

    def multiplier(self, progress: Progress) -> float:
        """Return the height of the triangle at the cycle's fraction."""
        cycle, fraction = _cycle(progress.step, _steps(self.cycle_epochs, progress), self.cycle_mult)
        height = 0.5**cycle if self.policy == "triangular2" else 1.0
        return self.base + (1 - self.base) * (1 - abs(2 * fraction - 1)) * height


def _steps(epochs: float, progress: Progress) -> int:
    return max(1, round(epochs * progress.steps_per_epoch))


def _anneal(fraction: float, floor: float) -> float:
    return floor + (1 - floor) * (1 + math.cos(math.pi * fraction)) / 2


def _cycle(step: int, first_steps: int, mult: int) -> tuple[int, float]:
    """Return the number of the cycle that ``step`` falls into, and the share of it that is done."""
    if mult == 1:
        return step // first_steps, step % first_steps / first_steps
    cycle, length = 0, first_steps
    while step >= length:
        step -= length
        length *= mult
        cycle += 1
    return cycle, step / length
