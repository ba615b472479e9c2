"""One response on its way from trials to findings."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from cnnbench.stats.effects.answers import Draft, Setting
    from cnnbench.stats.omnibus.quasi_binomial import Counts
    from cnnbench.stats.other_scale import Rescaled
    from cnnbench.stats.trials.cells import CellData
    from cnnbench.types import (
        Cell,
        Clock,
        DesignAudit,
        ExampleComparison,
        MixedModel,
        RankComparison,
        Refusal,
        TestTable,
    )


@dataclass(slots=True, eq=False)
class Work:
    """One response on its way."""

    setting: Setting
    audit: DesignAudit
    raw: CellData | None = None
    """In the response's own unit; None without trials."""
    data: CellData | None = None
    """On the analysis scale; None where nothing may be tested. Where datasets are random, their means are its rows."""
    trials: CellData | None = None
    """All trials on the analysis scale; the same as `data` where all factors are fixed."""
    cells: tuple[Cell, ...] = ()
    marginals: tuple[Cell, ...] = ()
    tables: list[TestTable] = field(default_factory=list)
    further_tables: list[TestTable] = field(default_factory=list)
    mixed: MixedModel | None = None
    primary: Draft | None = None
    partner: Draft | None = None
    """The omnibus interaction that shares alpha with a primary slope of two factors over independent trials."""
    further: list[Draft] = field(default_factory=list)
    """Declared for this response; the family runs over the responses."""
    repeated: list[Draft] = field(default_factory=list)
    """The study's hypotheses, asked again of an `also` response."""
    families: list[Draft] = field(default_factory=list)
    beside: list[Draft] = field(default_factory=list)
    """Families that stand in no report."""
    refusals: list[Refusal] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)
    counts: Counts | None = None
    """Where the response is a share of known numbers of examples."""
    other: Rescaled | None = None
    reason: str = ""
    """Why there is no effect to lead with."""
    lead: str = ""
    """What leads where no hypothesis does: the finding over blocks that are datasets or examples."""
    ranks: RankComparison | None = None
    examples: ExampleComparison | None = None
    clock: Clock | None = None
    promise: list[str] = field(default_factory=list)
    """What the headline ends with: that times were noisy; of a two-stage design how it came to its number of seeds, and
    whether its interval is as narrow as promised."""
