"""R, run on the script of a report, finds the report's figures."""

from __future__ import annotations

import csv
import io
import os
import shutil
import subprocess
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from itertools import product
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

from cnnbench.report.export import trials_csv
from cnnbench.report.r import exported_trials, r_script
from cnnbench.spec import AnalysisSpec, Hypothesis
from cnnbench.stats import AnalysisInput, analyse
from cnnbench.stats.proof.selfcheck import computed
from cnnbench.types import Factor, Response, ResponseInfo

PACKAGES = "car emmeans afex"
DEPTH = Factor("depth", (8, 16, 32), "log2")
SIZE = Factor("size", (32, 64, 128), "log2")
REGIME = Factor("regime", ("none", "gradual", "step wise"))
SLOPE = Hypothesis(slope=("depth", "size"))
DEPTHS = Hypothesis(contrast="8 - 16", over="depth")
WEIGHTED = Hypothesis(contrast="1/2 none + 1/2 gradual - step wise", over="regime")
INTERACTION = Hypothesis(interaction=("depth", "size"))
PAIR = Hypothesis(contrast="gradual - none", over="regime")
Row = Mapping[str, Any]


@cache
def r_is_there() -> bool:
    rscript = shutil.which("Rscript")
    if rscript is None:
        return False
    asked = f"for (p in strsplit('{PACKAGES}', ' ')[[1]]) if (!requireNamespace(p, quietly = TRUE)) quit(status = 1)"
    return subprocess.run([rscript, "-e", asked], capture_output=True, check=False).returncode == 0


@pytest.fixture
def r() -> None:
    if not r_is_there():
        pytest.skip("needs Rscript with car, emmeans and afex")


def failed(row: Row) -> bool:
    return (row["replicate"] == 2 and row["depth"] == 8) or (row["replicate"] == 4 and row["size"] == 64)


def missing(row: Row) -> bool:
    return bool(row["depth"] == 8 and row["size"] == 128)


def fewer(row: Row) -> bool:
    return bool(row["replicate"] > 2 and row["depth"] != 8)


@dataclass(frozen=True)
class Design:
    factors: tuple[Factor, ...]
    plan: Mapping[str, Any]
    paired: bool = True
    replicates: int = 7
    without: Callable[[Row], bool] = lambda _: False
    response: str = "accuracy"
    least: int = 60
    """Figures to compare."""

    def study(self) -> AnalysisInput:
        rng = np.random.default_rng(11)
        of_seed = rng.normal(0, 0.03, self.replicates) if self.paired else np.zeros(self.replicates)
        rows = []
        for number, levels in enumerate(product(*(factor.levels for factor in self.factors))):
            cell = dict(zip((factor.name for factor in self.factors), levels, strict=True))
            for k in range(self.replicates):
                value = 0.7 + 0.004 * number + of_seed[k] + rng.normal(0, 0.01 * (1 + number % 3))
                rows.append({"trial_id": f"t{number}-{k}", **cell, "replicate": k, self.response: value})
        frame = pd.DataFrame(rows).assign(concurrent_trials=1, environment_key="here")
        frame = frame[[not self.without(row) for row in rows]]
        info = ResponseInfo(Response(self.response, "accuracy"), "Accuracy", "1", True, "unit", uses_time=False)
        return AnalysisInput(
            study="s\n# not a comment",
            question="Does it matter?",
            factors=self.factors,
            trials=frame,
            analysis=AnalysisSpec(response=self.response, **self.plan),
            responses=(info,),
            references=(),
            paired=self.paired,
            replicates=self.replicates,
            exclusions=(),
            failures=(),
            pending=0,
            confirmatory=True,
        )


MARGIN = {"equivalence_margin": 0.01}
DESIGNS = {
    "paired": Design(
        (DEPTH, SIZE), {"primary": SLOPE, "further": (INTERACTION, Hypothesis(slope=("depth",))), **MARGIN}
    ),
    "paired with failures": Design((DEPTH, SIZE), {"primary": DEPTHS}, without=failed),
    "paired with a missing cell": Design((DEPTH, SIZE), {"primary": INTERACTION}, without=missing),
    "paired, fewer seeds than degrees of freedom": Design(
        (DEPTH, SIZE, REGIME), {"primary": PAIR}, replicates=4, least=300
    ),
    "independent": Design(
        (DEPTH, SIZE), {"primary": INTERACTION, "scale": "log", **MARGIN}, paired=False, replicates=4, least=300
    ),
    "independent slope beside the omnibus test": Design(
        (DEPTH, SIZE), {"primary": SLOPE, **MARGIN}, paired=False, replicates=4, least=200
    ),
    "unbalanced": Design(
        (DEPTH, SIZE), {"primary": Hypothesis(slope=("size",)), "scale": "logit"}, False, 4, fewer, least=200
    ),
    "independent with a missing cell": Design((DEPTH, SIZE), {"primary": INTERACTION}, False, 4, missing, least=200),
    "one factor": Design((REGIME,), {"primary": WEIGHTED}),
    "three factors": Design(
        (DEPTH, SIZE, REGIME),
        {"primary": INTERACTION, "further": (Hypothesis(interaction=("depth", "size", "regime")), PAIR)},
        paired=False,
        replicates=2,
        least=900,
    ),
    "at a level": Design(
        (DEPTH, SIZE, REGIME),
        {
            "primary": Hypothesis(slope=("depth",), at={"size": 64}),
            "further": (
                Hypothesis(slope=("depth", "size"), at={"regime": REGIME.levels[1]}),
                PAIR.model_copy(update={"at": {"size": 128, "depth": 8}}),
            ),
        },
        paired=False,
        replicates=3,
        least=900,
    ),
    "at a level behind one without trials": Design(
        (DEPTH, SIZE, REGIME),
        {
            "primary": Hypothesis(slope=("depth",), at={"size": 64}),
            "further": (PAIR.model_copy(update={"at": {"size": 128}}),),
        },
        paired=False,
        replicates=3,
        without=lambda row: row["size"] == 32,
        least=400,
    ),
    "one trial per cell": Design((DEPTH, SIZE), {"primary": SLOPE}, replicates=1),
    "weird names": Design(
        (
            Factor('if "x"\\n, Größe', ("NA", "#", 'a"b', "TRUE", "c,\nd", "e - f", "")),
            Factor("f1:f2", (0.5, 1, 3.0), "linear"),
            Factor("on", (False, True)),
        ),
        {"primary": Hypothesis(slope=("f1:f2",)), "further": (Hypothesis(contrast="true - false", over="on"),)},
        paired=False,
        replicates=3,
        response='the "accuracy", %s\\',
        least=900,
    ),
}


def run_r(folder: Path, script: str, locale: str = "C.UTF-8") -> list[dict[str, str]]:
    """Run a script from elsewhere, and return its figures."""
    path = folder / "a report" / "analysis.R"
    path.parent.mkdir(exist_ok=True)
    path.write_text(script, "ascii" if script.isascii() else "utf-8")
    rscript = shutil.which("Rscript")
    assert rscript is not None
    environment = {**os.environ, "LC_ALL": locale}
    done = subprocess.run([rscript, str(path)], cwd=folder, capture_output=True, env=environment, check=False)
    assert done.returncode == 0, done.stderr.decode("utf-8", "replace")
    _, _, figures = done.stdout.decode("utf-8", "replace").partition("# figures\n")
    return list(csv.DictReader(io.StringIO(figures, newline="")))


def close(ours: float, theirs: float, field: str) -> bool:
    if field == "classical_p_tukey":
        return abs(ours - theirs) < 1e-6
    return ours == pytest.approx(theirs, rel=1e-8, abs=1e-13)


@pytest.mark.r
@pytest.mark.parametrize("name", DESIGNS)
def test_r_finds_the_figures_of_the_report(r: None, tmp_path: Path, name: str):  # noqa: ARG001 - skips
    design = DESIGNS[name]
    data = design.study()
    findings = analyse(data)
    text = trials_csv(data.trials)
    (tmp_path / "a report").mkdir()
    (tmp_path / "a report" / "trials.csv").write_text(text, "utf-8", newline="")
    rows = run_r(tmp_path, r_script(data, findings, exported_trials(text, paired=data.paired)))
    ours, seen = computed(findings), set()
    names = dict(shown_cells(data))
    for row in rows:
        table = {"emmeans": "effects"}.get(row["table"], row["table"])
        if table == "cells" and row["field"] == "n":
            continue
        key = (
            table,
            names.get(row["key"], row["key"]) if table in {"cells", "marginals"} else row["key"],
            row["field"],
        )
        assert row["response"] == design.response
        assert key in ours, key
        assert close(ours[key], float(row["value"]), row["field"]), (key, ours[key], row["value"])
        seen.add(key)
    assert len(rows) >= design.least
    assert {key for key in ours if must_be_there(key)} <= seen


def shown_cells(data: AnalysisInput) -> Sequence[tuple[str, str]]:
    """Return cells and levels as R calls them, with the keys that `computed` gives them."""
    pairs = []
    for names in [[factor] for factor in data.factors] + [list(data.factors)]:
        for levels in product(*(factor.levels for factor in names)):
            shown = [str(level).lower() if isinstance(level, bool) else str(level) for level in levels]
            labels = [factor.name for factor in names]
            key, ours = (
                ",".join(f"{label}={level}" for label, level in zip(labels, part, strict=True))
                for part in (shown, [str(level) for level in levels])
            )
            pairs.append((key, ours))
    return pairs


def must_be_there(key: tuple[str, str, str]) -> bool:
    table, name, field = key
    if name.startswith(("raw:", "log:", "logit:")):  # the other scale is not in the script
        return False
    if table == "effects":
        return field in {"estimate", "se", "df", "p", "p_adjusted", "robust_p", "equivalence_p", "classical_p"}
    tests = {"anova_type3", "anova_type2", "ats", "rm_anova", "additive_type2", "tukey_nonadditivity"}
    return field == ("p" if table in tests else "mean") and table in {*tests, "cells", "marginals"}


@pytest.mark.r
def test_the_locale_does_not_matter(r: None, tmp_path: Path):  # noqa: ARG001 - skips
    design = Design((Factor("größe", ("groß", "klein")),), {}, least=10)
    data = design.study()
    text = trials_csv(data.trials)
    (tmp_path / "a report").mkdir()
    (tmp_path / "a report" / "trials.csv").write_text(text, "utf-8")
    rows = run_r(tmp_path, r_script(data, analyse(data), exported_trials(text, paired=True)), locale="C")
    assert {row["key"] for row in rows if row["table"] == "cells"} == {"größe=groß", "größe=klein"}


def test_a_script_names_every_table_and_what_it_leaves_out():
    data = DESIGNS["independent"].study()
    findings = analyse(data)
    script = r_script(data, findings, exported_trials(trials_csv(data.trials), paired=False))
    for table in findings.responses[0].tests:
        assert f"# Table: {table.title} (findings.json: {table.key}).\n{table.key}(d)\n" in script
    left_out = script.partition("# Not reproduced here:")[2]
    assert "Welch-James" in left_out
    assert "library(car)" in script
    assert "library(afex)" not in script
    assert 'read.csv("trials.csv"' in script


def test_an_effect_by_an_unknown_method_is_left_out_in_words():
    from dataclasses import replace

    data = DESIGNS["one factor"].study()
    findings = analyse(data)
    found = findings.responses[0]
    odd = replace(found.effects[0], method="t over datasets")
    changed = replace(findings, responses=(replace(found, effects=(odd, *found.effects[1:])),))
    script = r_script(data, changed, exported_trials(trials_csv(data.trials), paired=True))
    assert 'effect(d, "primary"' not in script
    words = " ".join(line.removeprefix("#").strip() for line in script.splitlines())
    assert odd.label in words.partition("Not reproduced here: ")[2].partition(".")[0]


def test_where_nothing_was_tested_the_script_says_so():
    from dataclasses import replace

    design = DESIGNS["one factor"].study()
    frame = design.trials.assign(environment_key=[f"place {i % 2}" for i in range(len(design.trials))])
    data = replace(design, trials=frame)
    script = r_script(data, analyse(data), exported_trials(trials_csv(frame), paired=True))
    assert "# Nothing was tested." in script
    assert "rm_anova(d)\n" not in script.partition("==== accuracy")[2]
    assert "observed_cells(d, study$alpha)" in script
