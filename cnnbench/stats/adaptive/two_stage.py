"""Stein's two-stage rule: how many seeds an interval of a promised width takes.

The promise holds because only the spread of the pilot decides, never its mean: given that spread the number of seeds is
fixed, and the mean over all of them is independent of it. Looking again and again until the interval happens to be
narrow has no such ground (`docs/statistics.md` shows what it costs), so there is one look.
"""

from __future__ import annotations

from math import ceil
from typing import TYPE_CHECKING

import numpy as np
from scipy.stats import t as student_t

from cnnbench.stats.adaptive.scaled import scaled
from cnnbench.stats.effects.answers import question_of
from cnnbench.stats.effects.estimate import per_seed
from cnnbench.stats.effects.questions import hypothesis_label
from cnnbench.types import Look, Refusal

if TYPE_CHECKING:
    from cnnbench.spec import SeedsRule
    from cnnbench.stats.interface import AnalysisInput

WHAT = "the number of seeds"


def seeds_for_half_width(sd: float, num_pilot: int, half_width: float, alpha: float) -> int:
    """Return N = max(n0, ceil((t s0 / w)^2)), with the 1 - alpha / 2 quantile of t on n0 - 1 degrees of freedom.

    Stein 1945, A two-sample test for a linear hypothesis whose power is independent of the variance, Annals of
    Mathematical Statistics 16, 243-258. The interval mean_N +- t s0 / sqrt(N) then covers with probability 1 - alpha.
    """
    t = float(student_t.isf(alpha / 2, num_pilot - 1))
    return max(num_pilot, ceil((t * sd / half_width) ** 2))


def look(data: AnalysisInput, rule: SeedsRule, taken_at: str) -> Look | Refusal:
    """Decide the number of replicates on the finished pilot.

    Replicates of the pilot that lack a trial which the hypothesis needs do not count, and are made up for as far as the
    maximum allows.

    Raises:
        AnalysisError: As `analyse` does.
    """
    hypothesis = data.analysis.primary
    assert hypothesis is not None  # noqa: S101 - the study file admits `seeds` with a primary hypothesis only
    name = hypothesis.response or data.responses[0].response.name
    info = next(info for info in data.responses if info.response.name == name)
    taken = scaled(data, info)
    if isinstance(taken, Refusal):
        return taken
    question = question_of(taken.cells, hypothesis, taken.setting)
    if isinstance(question, Refusal):
        return question
    scores_K, labels = per_seed(taken.cells, question.weights_M)
    if len(scores_K) < 2:
        return Refusal(
            WHAT,
            f"Only {len(scores_K)} of the pilot's {rule.pilot} replicates has every trial that the primary hypothesis "
            "needs; at least 2 are needed.",
            "Mend the cause and run the failed trials again (`--retry-failed`).",
        )
    sd = float(np.std(scores_K, ddof=1))
    if sd <= taken.cells.tiny:
        why = f"All {len(scores_K)} replicates of the pilot give the same effect, so there is no spread to go by."
        return Refusal(WHAT, why, "Check that replicates have different seeds, or give `design.replicates`.")
    needed = seeds_for_half_width(sd, len(scores_K), rule.until_half_width, data.analysis.alpha)
    planned = needed + rule.pilot - len(scores_K)
    return Look(
        taken_at=taken_at,
        response=name,
        scale=taken.setting.scale,
        hypothesis=hypothesis_label(hypothesis, taken.cells),
        alpha=data.analysis.alpha,
        pilot=tuple(int(label) for label in labels),
        sd=sd,
        aimed=rule.until_half_width,
        needed=needed,
        replicates=min(planned, rule.max),
        capped=planned > rule.max,
    )
