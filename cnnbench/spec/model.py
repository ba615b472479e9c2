"""The study file as validated values. `docs/study-file.md` describes every key for users."""

from __future__ import annotations

import contextlib
from typing import Annotated, Any, Literal, Self

from pydantic import Field, StrictBool, StrictFloat, StrictInt, StrictStr, model_validator

from cnnbench.spec.recipe import NAME_PATTERN, GrowingPart, Part, RecipeInput

LevelValue = Annotated[StrictBool | StrictInt | StrictFloat | StrictStr, Field(union_mode="left_to_right")]
Name = Annotated[str, Field(pattern=NAME_PATTERN)]


def _number(name: str) -> str | int | float:
    for kind in (int, float):
        with contextlib.suppress(ValueError):
            return kind(name)
    return name


class FactorSpec(Part):
    """`[factors.NAME]`: a list of values for one recipe path, or named patches of several paths."""

    path: str | None = Field(None, description="Dotted path in the recipe; with a list of levels or named values.")
    levels: tuple[LevelValue, ...] | dict[str, Any] = Field(
        description="A list of values; or a table: name -> value (with `path`), name -> { path = value } (without)."
    )
    order: Literal["log2", "linear"] | None = Field(None, description="Scale of an ordered numeric factor.")

    @property
    def labels(self) -> tuple[str | int | float | bool, ...]:
        """The levels as tables name them; the names of an ordered factor's patches are read as numbers."""
        if isinstance(self.levels, tuple):
            return self.levels
        return tuple(_number(name) if self.order else name for name in self.levels)

    @model_validator(mode="after")
    def _makes_sense(self) -> Self:
        if len(self.levels) < 2:
            raise ValueError("a factor needs at least two levels; put a constant into `[trial]`.")
        if isinstance(self.levels, tuple):
            if self.path is None:
                raise ValueError("a list of levels needs `path`, the recipe value that they set.")
            if min(len(set(self.levels)), len(set(map(str, self.levels)))) < len(self.levels):
                raise ValueError("`levels` names a value twice.")
        if self.path is None and isinstance(self.levels, dict):
            wrong = [name for name, patch in self.levels.items() if not isinstance(patch, dict)]
            if wrong:
                raise ValueError(f"level `{wrong[0]}` must be a table of recipe paths, or give the factor a `path`.")
        self._check_order()
        return self

    def _check_order(self) -> None:
        if self.order is None:
            return
        numbers = [label for label in self.labels if isinstance(label, int | float) and not isinstance(label, bool)]
        if len(numbers) < len(self.levels):
            raise ValueError("`order` needs numeric levels.")
        if self.order == "log2" and min(numbers) <= 0:
            raise ValueError('`order = "log2"` needs levels above 0.')


class Exclude(Part):
    """`[[design.exclude]]`: cells that are left out on purpose."""

    cell: dict[str, LevelValue | tuple[LevelValue, ...]] = Field(
        min_length=1, description="Factor -> level, or several levels; a cell is dropped when all named factors match."
    )
    reason: str = Field(min_length=1, description="Printed in plan and report.")


class SeedsRule(Part):
    """`[design] seeds`: replicates are added by Stein's two-stage rule, in place of `replicates`."""

    until_half_width: float = Field(
        gt=0,
        description="Half width of the primary effect's interval that is aimed at, in units of the analysis scale.",
    )
    pilot: int = Field(5, ge=3, description="Replicates of the first round; their spread decides how many follow.")
    max: int = Field(30, ge=3, description="Never more replicates than this; the interval may then stay wider.")

    @model_validator(mode="after")
    def _has_room(self) -> Self:
        if self.max < self.pilot:
            raise ValueError("`max` is smaller than `pilot`.")
        return self


class StageSpec(Part):
    """`[[design.stage]]`: one stage of a sequential design."""

    factor: str = Field(description="The factor that this stage varies.")


class DesignSpec(Part):
    """`[design]`: which cells are run, how often, and what replicates share."""

    kind: Literal["factorial", "ofat", "cells", "sequential"] = Field(
        "factorial",
        description="`factorial`: all combinations; `ofat`: one factor at a time around `baseline`; `cells`: listed; "
        "`sequential`: stage by stage, the best level of a stage kept in the next.",
    )
    replicates: int = Field(5, ge=1, description="Trials per cell; in a sequential design of each stage.")
    seeds: SeedsRule | None = Field(None, description="Add replicates until the primary effect's interval is narrow.")
    base_seed: int = Field(0, ge=0)
    pairing: Literal["shared", "independent"] = Field(
        "shared",
        description="`shared`: replicate k has the same split and data order in every cell, a block of the analysis.",
    )
    timing: Literal["auto", "exclusive", "shared"] = Field(
        "auto",
        description="`exclusive`: one trial at a time on a device; `auto`: exclusive if a response depends on time.",
    )
    baseline: dict[str, LevelValue] = Field(
        {}, description="Factor -> level; for `ofat` and `sequential`. Default: the first levels."
    )
    stage: tuple[StageSpec, ...] = Field((), description="For `sequential`: the stages in their order.")
    confirm: bool = Field(
        default=True, description="For `sequential`: run baseline and selected setting again with new seeds."
    )
    cells: tuple[dict[str, LevelValue], ...] = Field((), description="For `cells`: each a table factor -> level.")
    exclude: tuple[Exclude, ...] = ()

    @model_validator(mode="after")
    def _fits_its_kind(self) -> Self:
        if (self.kind == "cells") != bool(self.cells):
            raise ValueError('`cells` and `kind = "cells"` belong together.')
        if self.baseline and self.kind not in {"ofat", "sequential"}:
            raise ValueError('`baseline` belongs to `kind = "ofat"` and to `kind = "sequential"`.')
        if (self.kind == "sequential") != bool(self.stage):
            raise ValueError('`[[design.stage]]` and `kind = "sequential"` belong together.')
        if self.seeds is not None:
            self._check_seeds()
        return self

    def _check_seeds(self) -> None:
        if self.kind == "sequential":
            raise ValueError(
                "`seeds` cannot be used in a sequential design, whose stages have no single primary effect; "
                "set `replicates`."
            )
        if self.pairing == "independent":
            raise ValueError(
                'the two-stage rule of `seeds` needs one value for each seed; set `pairing = "shared"`, or give '
                "`replicates`."
            )


class ResponseSpec(Part):
    """`[responses.NAME]`: how one number per trial is read from its curves."""

    metric: str
    view: Literal["plain", "tta"] = "plain"
    phase: str | None = Field(None, description="Read at the end of this phase; default: of the trial.")
    epoch: Literal["last", "best"] = Field(
        "last", description="`best` chooses the epoch on validation and reads the test split, so it needs `split.test`."
    )


class Hypothesis(GrowingPart):
    """One question to the trials: a contrast between levels, a slope, or an interaction."""

    later = frozenset({"at"})

    name: str | None = Field(None, description="How reports call it; default: made from its parts.")
    contrast: str | None = Field(
        None, description='Weighted levels of `over`, e.g. "gradual - none" or "0.5 gradual + 0.5 stepwise - none".'
    )
    over: str | None = Field(None, description="The factor of `contrast`; averaged over all other factors.")
    slope: tuple[str, ...] | None = Field(
        None,
        min_length=1,
        max_length=2,
        description="One or two ordered factors: change per step of one, or its change per step of the other.",
    )
    interaction: tuple[str, ...] | None = Field(
        None, min_length=2, max_length=3, description="Factors whose omnibus interaction is tested."
    )
    at: dict[str, LevelValue] = Field(
        {}, description="Other factors, each held at one level: factor -> level; the rest is averaged over."
    )
    response: str | None = Field(None, description="Default: the analysis's response.")

    @model_validator(mode="after")
    def _is_one_question(self) -> Self:
        kinds = [name for name in ("contrast", "slope", "interaction") if getattr(self, name) is not None]
        if len(kinds) != 1:
            raise ValueError("a hypothesis is exactly one of `contrast`, `slope` and `interaction`.")
        if (self.contrast is None) != (self.over is None):
            raise ValueError("`contrast` and `over` (its factor) belong together.")
        for name, factors in (("slope", self.slope), ("interaction", self.interaction)):
            if factors is not None and len(set(factors)) < len(factors):
                raise ValueError(f"`{name}` names a factor twice.")
        if self.at and self.interaction is not None:
            raise ValueError("`at` belongs to a `contrast` or a `slope`.")
        if own := {self.over, *(self.slope or ())} & self.at.keys():
            raise ValueError(
                f"the hypothesis is about `{min(map(str, own))}` itself, so it cannot hold it `at` a level."
            )
        return self

    @property
    def factors(self) -> tuple[str, ...]:
        """Every factor that it names, those that it holds at a level last."""
        return (*([self.over] if self.over else ()), *(self.slope or ()), *(self.interaction or ()), *self.at)


class AnalysisSpec(Part):
    """`[analysis]`: what is tested; fixed before the first trial, anything else is exploratory."""

    response: str = Field("accuracy", description="A metric, or a name from `[responses]`.")
    scale: Literal["raw", "log", "logit"] = "raw"
    primary: Hypothesis | None = None
    further: tuple[Hypothesis, ...] = Field(
        (), description="Tested with the primary one's alpha, adjusted among themselves."
    )
    also: tuple[str, ...] = Field((), description="Further responses; they get the same tables and hypotheses.")
    equivalence_margin: float | None = Field(
        None, gt=0, description="Smallest effect of interest, in units of the analysis scale."
    )
    alpha: float = Field(0.05, gt=0, lt=0.5)
    correction: Literal["holm", "none"] = "holm"
    datasets: Literal["fixed", "random"] = Field(
        "fixed",
        description="`random`: the datasets are a sample, and findings shall hold for others of their kind.",
    )
    pool_environments: bool = Field(
        default=False, description="Analyse trials of different devices or library versions together."
    )


class Reference(Part):
    """`[[reference]]`: a published number, or a published claim, held against this study."""

    source: str = Field(min_length=1)
    profile: str | None = Field(
        None, description="Held against the study with this profile only, e.g. the published data; default: always."
    )
    quote: str = Field("", description="The sentence of the source.")
    response: str
    cell: dict[str, LevelValue] = Field({}, description="With `value`: factor -> level; others are averaged over.")
    value: float | None = None
    claim: Hypothesis | None = None
    expected: Literal["positive", "negative", "none"] | None = Field(None, description="What the claim says of it.")
    each: tuple[str, ...] = Field(
        (), description='With `claim`: it is said "consistently", so it must hold at each level of these factors.'
    )
    best: bool = Field(
        default=False,
        description="With a `claim` of one level against several: it is said to be the best, so it must beat each.",
    )

    @model_validator(mode="after")
    def _is_number_or_claim(self) -> Self:
        if (self.value is None) == (self.claim is None):
            raise ValueError("a reference is either a `value` or a `claim`.")
        if (self.claim is None) != (self.expected is None):
            raise ValueError("`claim` and `expected` belong together.")
        if self.each and (self.claim is None or self.claim.interaction is not None):
            raise ValueError("`each` belongs to a `claim` that is a contrast or a slope.")
        if self.claim is not None and self.claim.at.keys() & set(self.each):
            raise ValueError("a factor is either in `each` or in the claim's `at`.")
        if self.best and (self.claim is None or self.claim.contrast is None or self.expected == "none"):
            raise ValueError("`best` belongs to a `claim` that is a contrast, with a direction `expected`.")
        return self


class StudySpec(Part):
    """A study file with one profile applied."""

    format: Literal[1]
    name: Name
    question: str = Field(min_length=1, description="What the study wants to know, as a sentence.")
    trial: RecipeInput
    factors: dict[Name, FactorSpec] = Field(default_factory=dict)
    design: DesignSpec = DesignSpec()
    responses: dict[Name, ResponseSpec] = Field(default_factory=dict)
    analysis: AnalysisSpec = AnalysisSpec()
    reference: tuple[Reference, ...] = ()
