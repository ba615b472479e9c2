"""Synthetic studies in the shape in which the analysis hands them over; made-up numbers that hang together."""

from __future__ import annotations

import hashlib
import itertools
import json
import math
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd
import pytest
import vl_convert

from cnnbench.types import (
    Cell,
    Claim,
    Curve,
    Declared,
    DesignAudit,
    Effect,
    Exclusion,
    Factor,
    Figure,
    Findings,
    Interval,
    Level,
    ReferenceCheck,
    Refusal,
    ResponseFindings,
    Section,
    SectionTable,
    StudyView,
    TestRow,
    TestTable,
    Trial,
    TrialFailure,
)

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping, Sequence

HOSTILE = "</script><script>alert(\"x\")</script><img src=x onerror='alert(1)'>&amp; [bold]b[/] Größe 深さ"

DATASET = Factor("dataset", ("textures", "digits", "shapes"))
DEPTH = Factor("depth", (8, 14, 20), "log2")
REGIME = Factor("regime", ("none", "gradual", "stepwise"))

PHASES = (("sgdr", 2), ("clr", 1), ("cmult", 2), ("final", 1))
SIZES = {"none": (32, 32, 32, 32), "gradual": (16, 20, 24, 32), "stepwise": (16, 16, 32, 32)}


def remembered(draw: Callable[..., Any]) -> Callable[..., Any]:
    """Return what it drew of the same before; all of the argument counts, the order of its keys, too."""
    drawn: dict[bytes, Any] = {}

    def again(what: Any, **options: Any) -> Any:
        key = hashlib.sha256(json.dumps([what, options]).encode()).digest()
        if key not in drawn:
            drawn[key] = draw(what, **options)
        return drawn[key]

    return again


DRAWING = {name: getattr(vl_convert, name) for name in ("vegalite_to_svg", "svg_to_pdf")}
REMEMBERED = {name: remembered(draw) for name, draw in DRAWING.items()}


@pytest.fixture(scope="module", autouse=True)
def _drawn_once() -> Iterator[None]:
    """Drawing is most of what a page costs, and many pages show the same figures: none is drawn twice."""
    with pytest.MonkeyPatch.context() as patch:
        for name, draw in REMEMBERED.items():
            patch.setattr(vl_convert, name, draw)
        yield


@pytest.fixture
def _drawn_anew(monkeypatch: pytest.MonkeyPatch) -> None:
    """For a test that needs every figure drawn for itself."""
    for name, draw in DRAWING.items():
        monkeypatch.setattr(vl_convert, name, draw)


def cells_of(factors: Sequence[Factor]) -> list[dict[str, Level]]:
    names = [factor.name for factor in factors]
    return [dict(zip(names, levels, strict=True)) for levels in itertools.product(*(f.levels for f in factors))]


def _offset(cell: Mapping[str, Level]) -> float:
    return sum(
        {"digits": 0.06, "shapes": -0.05, "gradual": 0.012, "stepwise": 0.006}.get(str(level), 0.0)
        for level in cell.values()
    ) + 0.02 * math.log2(float(cell.get("depth", 8)) / 8)


def trials_of(
    factors: Sequence[Factor], replicates: int, responses: Sequence[str], skip: Sequence[Mapping[str, Level]] = ()
) -> pd.DataFrame:
    rng = np.random.default_rng(3)
    by_replicate = rng.normal(0, 0.008, replicates)
    rows = []
    for cell, replicate in itertools.product(cells_of(factors), range(replicates)):
        draw = rng.normal(0, 0.007, len(responses))
        if cell in skip:
            continue
        identity = hashlib.sha256(repr((cell, replicate)).encode()).hexdigest()
        accuracy = 0.86 + _offset(cell) + by_replicate[replicate]
        values = {
            name: accuracy * (3.0 if name.endswith("time") else 1.0) + draw[i] for i, name in enumerate(responses)
        }
        seconds = 20 + 2 * float(cell.get("depth", 8)) + rng.normal(0, 0.3)
        cost = {"train_s": seconds, "flops": 1e9 * float(cell.get("depth", 8)), "concurrent_trials": 1}
        rows.append({"id": identity, **cell, "replicate": replicate, **values, **cost})
    return pd.DataFrame(rows)


def summarise(trials: pd.DataFrame, levels: Mapping[str, Level], response: str) -> Cell:
    mask = np.ones(len(trials), dtype=bool)
    for name, level in levels.items():
        mask &= (trials[name] == level).to_numpy()
    values = trials[response].to_numpy(dtype=float)[mask]
    if len(values) == 0:
        return Cell(levels, 0, None, None, None)
    mean = float(values.mean())
    if len(values) == 1:
        return Cell(levels, 1, mean, None, None)
    sd = float(values.std(ddof=1))
    half = 2.3 * sd / math.sqrt(len(values))
    return Cell(levels, len(values), mean, sd, Interval(mean - half, mean + half))


def effect(key: str, label: str, estimate: float, half: float, **more: Any) -> Effect:
    defaults: dict[str, Any] = {
        "role": "further",
        "method": "Paired t test of the per-replicate contrast, averaged over the other factors",
        "se": half / 2.78,
        "df": 4.0,
        "statistic": estimate / (half / 2.78),
        "p": 0.0312345678901234,
        "interval": Interval(estimate - half, estimate + half),
        "n": 5,
        "p_adjusted": 0.0624691357802468,
        "family": "Holm over 3 hypotheses",
        "robust_p": 0.0625,
        "robust_method": "exact sign-flip over 5 replicates",
        "equivalence_p": 0.21,
        "verdict": "undetermined",
        "sentence": f"{label} changes the response by {estimate:.4f}.",
    }
    return Effect(key=key, label=label, estimate=estimate, **{**defaults, **more})


def tests_table() -> TestTable:
    rows = (
        TestRow("dataset", 812.44, 2, 8, 1.2e-9, 0.31, 2.4e-9, 0.993, Interval(0.97, 0.997), 0.81),
        TestRow("depth", 23.51, 2, 8, 0.00043, 0.021, 0.00086, 0.855, Interval(0.44, 0.92), 0.74),
        TestRow("regime", 5.1234, 2, 8, 0.0371, 0.0062, 0.0742, 0.562, Interval(0.01, 0.75), 0.66),
        TestRow(
            "depth:regime", 0.92, 4, 16, 0.476, 0.0011, 0.476, 0.187, Interval(0.0, 0.36), 0.52, note="ε is far from 1"
        ),
    )
    return TestTable(
        key="rm_anova",
        title="Repeated-measures analysis of variance",
        method="Replicates are blocks; each term has its own error; p values are Greenhouse-Geisser corrected",
        rows=rows,
        family="Holm over 4 terms",
    )


def audit_of(factors: Sequence[Factor], trials: pd.DataFrame, replicates: int, **more: Any) -> DesignAudit:
    cells = cells_of(factors)
    defaults: dict[str, Any] = {
        "num_cells": len(cells),
        "num_trials": len(trials),
        "replicates": replicates,
        "min_n": replicates,
        "max_n": replicates,
        "missing": (),
        "failed": 0,
        "pending": 0,
        "paired": replicates > 1,
        "complete_replicates": tuple(range(replicates)),
        "rank": len(cells),
        "connected": True,
        "sentences": (f"All {len(cells)} cells of the grid have {replicates} trials",),
    }
    return DesignAudit(factors=tuple(factors), **{**defaults, **more})


def found_of(
    factors: Sequence[Factor], trials: pd.DataFrame, response: str, replicates: int, **more: Any
) -> ResponseFindings:
    margins = [{factor.name: level} for factor in factors for level in factor.levels]
    effects = (
        effect("primary", "gradual - none", 0.0118213, 0.0094, role="primary", verdict="different"),
        effect("stepwise", "stepwise - none", 0.0060211, 0.0111),
        effect("slope", "depth slope, per doubling", 0.00131, 0.0062, verdict="equivalent", p=0.61),
    )
    defaults: dict[str, Any] = {
        "unit": "1",
        "scale": "raw",
        "higher_is_better": True,
        "headline": (
            "Starting on small images (gradual) raised total accuracy by 1.18 percentage points over none "
            "(95 % interval 0.24 to 2.12, p = 0.031, 5 paired seeds); the exact sign-flip test agrees (p = 0.063)."
        ),
        "audit": audit_of(factors, trials, replicates),
        "cells": tuple(summarise(trials, cell, response) for cell in cells_of(factors)),
        "marginals": tuple(summarise(trials, levels, response) for levels in margins),
        "tests": (tests_table(),),
        "effects": effects,
        "refusals": (),
        "notes": ("Pairing by seed narrowed the interval of the primary contrast by 38 %",),
    }
    return ResponseFindings(response=response, **{**defaults, **more})


def curves_of(factors: Sequence[Factor], replicates: int) -> tuple[Curve, ...]:
    phase = [name for name, epochs in PHASES for _ in range(epochs)]
    curves = []
    metrics = (
        ("validation_accuracy", "Accuracy (validation)"),
        ("validation_loss", "Loss (validation)"),
        ("train_loss", "Loss (training)"),
    )
    for (name, long_name), cell in itertools.product(metrics, cells_of(factors)):
        sizes = SIZES.get(str(cell.get("regime", "none")), SIZES["none"])
        size_px = [size for size, (_, epochs) in zip(sizes, PHASES, strict=True) for _ in range(epochs)]
        top = 0.86 + _offset(cell)
        steps = np.arange(1, len(phase) + 1)
        mean = (
            top - 0.5 * np.exp(-0.7 * steps)
            if name.endswith("accuracy")
            else 0.3 + 1.6 * np.exp(-0.55 * steps) + 1 - top
        )
        half = 0.03 / np.sqrt(steps) if replicates > 1 else 0 * steps
        curves.append(
            Curve(
                name,
                long_name,
                "1",
                cell,
                list(range(len(phase))),
                phase,
                size_px,
                mean.tolist(),
                (mean - half).tolist(),
                (mean + half).tolist(),
                replicates,
            )
        )
    return tuple(curves)


def failure_of(cell: Mapping[str, Level], replicate: int) -> TrialFailure:
    identity = hashlib.sha256(repr((cell, replicate)).encode()).hexdigest()
    trial = Trial(identity, "entr", cell, replicate, {"split": 1}, {}, "0" * 64, flops=1e9, flops_per_image=(1e6,))
    return TrialFailure(trial, "Diverged", "the loss became NaN in epoch 3", "Traceback ...", 2)


STUDY_TOML = """format = 1
name = "entr"
question = "Does starting on small images make training more efficient?"

[analysis]
response = "total-accuracy"
primary = { contrast = "gradual - none", over = "regime" }
equivalence_margin = 0.02
"""


def view_of(
    factors: Sequence[Factor] = (DATASET, DEPTH, REGIME),
    replicates: int = 5,
    responses: Sequence[str] = ("total-accuracy",),
    *,
    skip: Sequence[Mapping[str, Level]] = (),
    found: Mapping[str, Any] | None = None,
    findings: Mapping[str, Any] | None = None,
    **more: Any,
) -> StudyView:
    """A study with trials in every cell but those in ``skip``; the other arguments replace fields."""
    trials = trials_of(factors, replicates, responses, skip)
    parts = tuple(found_of(factors, trials, response, replicates, **(found or {})) for response in responses)
    defaults: dict[str, Any] = {
        "study": "entr",
        "question": "Does starting on small images make training more efficient?",
        "alpha": 0.05,
        "confirmatory": True,
        "responses": parts,
        "exclusions": (),
        "references": (),
        "claims": (),
        "versions": {"cnnbench": "0.1.0", "scipy": "1.17.0", "statsmodels": "0.14.6"},
    }
    view = StudyView(
        name="entr",
        question=defaults["question"],
        profile=None,
        study_toml=STUDY_TOML,
        assignments=(),
        declared=Declared(margin=0.02, of_interest="regime", metric="accuracy"),
        factors=tuple(factors),
        findings=Findings(**{**defaults, **(findings or {})}),
        trials=trials,
        curves=curves_of(factors, replicates),
        failures=(),
        environment={
            "cnnbench": "0.1.0",
            "git": {"commit": "8c1d2f0", "dirty": False},
            "device": {"name": "CPU", "cores": 2},
            "deterministic": True,
            "packages": {f"package-{index:02d}": f"1.{index}" for index in range(40)},
        },
        run_dir="runs/entr",
    )
    return replace(view, **more)


def _published(trials: pd.DataFrame) -> tuple[ReferenceCheck, ...]:
    cell = {"dataset": "textures", "depth": 20, "regime": "none"}
    elsewhere = {"dataset": "ucm", "depth": 50, "regime": "none"}
    ours = summarise(trials, cell, "total-accuracy")
    source, quote = "Wanger & Frohn, results section", "The total accuracy was 0.885 without progressive resizing."
    difference = (ours.mean or 0.0) - 0.885
    return (
        ReferenceCheck(
            source,
            quote,
            "total-accuracy",
            cell,
            0.885,
            ours,
            difference,
            Interval(difference - 0.01, difference + 0.01),
            0.41,
            "Ours agrees with the published number within its interval.",
        ),
        ReferenceCheck(
            source, "", "total-accuracy", elsewhere, 0.971, None, None, None, None, "This study has no such cell."
        ),
    )


@pytest.fixture(scope="session")
def full() -> StudyView:
    """3 datasets x 3 depths x 3 regimes x 5 replicates with everything a report can hold."""
    factors = (DATASET, DEPTH, REGIME)
    view = view_of(factors, 5, ("total-accuracy", "training-time"))
    first, second = view.findings.responses
    family = tuple(
        effect(
            f"f{i}",
            f"{a} - {b} at depth {depth}",
            0.004 * i - 0.01,
            0.008,
            role="family",
            family="Tukey over 9 contrasts",
        )
        for i, ((a, b), depth) in enumerate(
            itertools.product((("gradual", "none"), ("stepwise", "none"), ("stepwise", "gradual")), DEPTH.levels)
        )
    )
    ratio = effect(
        "primary",
        "gradual / none",
        math.log(0.71),
        0.08,
        role="primary",
        verdict="different",
        ratio=0.71,
        ratio_interval=Interval(0.655, 0.769),
    )
    second = replace(second, unit="s", scale="log", effects=(ratio,), higher_is_better=False)
    refusal = Refusal("The three-way interaction was not tested", "no error term is left for it", "add a replicate")
    claim = Claim(
        "Wanger & Frohn, abstract",
        "Progressive resizing reduces training time without loss of accuracy.",
        "positive",
        "total-accuracy",
        first.effects[0],
        "confirmed",
        "This study confirms it: +0.012, interval above 0.",
    )
    findings = replace(
        view.findings,
        responses=(replace(first, effects=(*first.effects, *family), refusals=(refusal,)), second),
        exclusions=(
            Exclusion(
                {"dataset": "digits", "depth": 50, "regime": "none"}, "infeasible", "block 4 gets an image of 0 x 0 px"
            ),
        ),
        references=_published(view.trials),
        claims=(claim, replace(claim, verdict="undetermined", effect=None)),
    )
    return replace(
        view, findings=findings, failures=(failure_of({"dataset": "shapes", "depth": 20, "regime": "gradual"}, 5),)
    )


@pytest.fixture(scope="session")
def one_trial_each() -> StudyView:
    """One trial per cell: no interval, no test, refusals instead."""
    refusal = Refusal(
        "The interaction was not tested",
        "with one trial per cell it is confounded with noise",
        "add at least one replicate",
    )
    found = {"tests": (), "effects": (), "refusals": (refusal,), "headline": "One trial per cell supports no test."}
    return view_of((DEPTH, REGIME), 1, found=found)


@pytest.fixture(scope="session")
def hostile() -> StudyView:
    """Names, quotes and messages that would break out of a careless page."""
    factor = Factor("kind.of[0]", (HOSTILE, "none"))
    view = view_of((factor, DEPTH), 2, found={"headline": HOSTILE, "notes": (HOSTILE,)})
    found = view.findings.responses[0]
    labelled = replace(found, effects=tuple(replace(e, label=HOSTILE, sentence=HOSTILE) for e in found.effects))
    cell = {factor.name: HOSTILE, "depth": 8}
    check = ReferenceCheck(
        HOSTILE, HOSTILE, found.response, cell, 0.9, found.cells[0], 0.1, Interval(0.0, 0.2), 0.5, HOSTILE
    )
    claim = Claim(HOSTILE, HOSTILE, "none", found.response, labelled.effects[0], "refuted", HOSTILE)
    findings = replace(view.findings, responses=(labelled,), references=(check,), claims=(claim,))
    return replace(
        view,
        name=HOSTILE,
        question=HOSTILE,
        study_toml=HOSTILE,
        profile=HOSTILE,
        findings=findings,
        failures=(failure_of(cell, 0),),
        environment={HOSTILE: HOSTILE},
    )


@pytest.fixture(scope="session")
def make_view() -> Callable[..., StudyView]:
    """The builder itself, for a test's own variation."""
    return view_of


@pytest.fixture(scope="session")
def section() -> Section:
    """A plugin's section."""
    spec = {
        "data": {"values": [{"a": 1, "b": 2}]},
        "mark": "point",
        "encoding": {"x": {"field": "a", "type": "quantitative"}, "y": {"field": "b", "type": "quantitative"}},
    }
    table = SectionTable("Layers of the net.", ("layer", "parameters"), (("conv1", 432), ("head", None)))
    return Section("Anatomy", ("Where the parameters are.",), (table,), (Figure("A point.", spec),))
