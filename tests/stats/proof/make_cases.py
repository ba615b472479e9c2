"""Write the trials and answers that an installation checks itself against: those of `tests/stats/oracle`, by our names.

Run as ``python tests/stats/proof/make_cases.py``; a test holds the packaged file to what this makes.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pandas as pd

ORACLE = Path(__file__).parent.parent / "oracle"
PACKAGED = Path(__file__).parents[3] / "cnnbench" / "stats" / "proof" / "cases.json"

Figure = tuple[str, str, str, float]
"""Table (of tests) or kind, key, field, R's value."""
INTERACTION = {
    "primary": {"interaction": ["depth", "size"]},
    "further": [{"slope": ["depth", "size"]}],
}
SLOPE = {"primary": {"slope": ["depth", "size"]}}
CONDITION = {"primary": {"contrast": "4 - 2", "over": "depth"}}


def anova(table: str, records: list[dict[str, Any]]) -> Iterator[Figure]:
    for record in records:
        if record["term"] not in {"(Intercept)", "Residuals"}:
            for field, name in (("statistic", "F"), ("df1", "df"), ("p", "p"), ("sum_sq", "sum_sq")):
                if name in record:
                    yield table, record["term"], field, record[name]


def eta(records: list[dict[str, Any]]) -> Iterator[Figure]:
    for record in records:
        yield "anova_type3", record["term"], "partial_eta_sq", record["eta2_partial"]
        for side, value in zip(("low", "high"), record["eta2_ci95"], strict=True):
            yield "anova_type3", record["term"], f"partial_eta_sq_interval_{side}", value


def means(name: str, records: list[dict[str, Any]]) -> Iterator[Figure]:
    for record in records:
        if record["emmean"] is not None:
            for field, column in (("mean", "emmean"), ("interval_low", "ci_low"), ("interval_high", "ci_high")):
                yield "marginals", f"{name}={record[name]}", field, record[column]


def pairs(factor: str, by_adjustment: dict[str, list[dict[str, Any]]], prefix: str = "classical_") -> Iterator[Figure]:
    plain = {"estimate": "estimate", "se": "SE", "df": "df", "statistic": "t", "p": "p", "interval_low": "ci_low"}
    for adjustment, records in by_adjustment.items():
        fields = plain if adjustment == "none" else {f"p_{adjustment}": "p"}
        for record in records:
            for field, column in fields.items():
                if record[column] is not None:
                    yield "effects", f"pairs:{factor}:{record['contrast']}", f"{prefix}{field}", record[column]


def interactions(records: list[dict[str, Any]]) -> Iterator[Figure]:
    by_depth, by_size = (
        {r[name]: i for i, r in reversed(list(enumerate(records)))} for name in ("depth_pairwise", "size_pairwise")
    )
    ordered = sorted(records, key=lambda r: (by_depth[r["depth_pairwise"]], by_size[r["size_pairwise"]]))
    for i, record in enumerate(ordered, start=1):
        for field, column in (("estimate", "estimate"), ("se", "SE"), ("statistic", "t"), ("p", "p")):
            yield "effects", f"interaction:depth:size:{i}", f"classical_{field}", record[column]


def unequal(tests: dict[str, dict[str, float]]) -> Iterator[Figure]:
    for term, figures in tests.items():
        for table, prefix, statistic in (("ats", "ATS", "ATS"), ("welch_james", "WJ", "WJ_F")):
            yield table, term, "statistic", figures[statistic]
            for field in ("df1", "df2", "p"):
                yield table, term, field, figures[f"{prefix}_{field}"]


def simple(records: list[dict[str, Any]], term: str, by: str) -> Iterator[Figure]:
    for record in records:
        for field, column in (("statistic", "F"), ("df2", "df2"), ("p", "p")):
            yield f"simple_effects:{by}", f"{term} at {by} {record[by]}", field, record[column]


def slope(key: str, model: dict[str, Any]) -> Iterator[Figure]:
    """Yield estimate and p of the linear-by-linear term, against the variance within cells."""
    yield "effects", key, "classical_estimate", model["coefficient"][0]["estimate"]
    yield "effects", key, "classical_p", model["seq"]["p"]


def omega(values: dict[str, float]) -> Iterator[Figure]:
    return (("anova_type3", term, "partial_omega_sq", value) for term, value in values.items())


def independent(r: dict[str, Any]) -> Iterator[Figure]:
    """Yield the figures of a complete grid of independent trials, as far as R was asked for them."""
    yield from anova("anova_type3", r["anova_type3"])
    yield from eta(r["effect_sizes_type3"])
    yield from unequal(r["heteroscedastic_tests"])
    yield from anova("anova_hc3", r["anova_type3_hc3"])
    yield from pairs("depth", r["pairs_depth"])
    yield from simple(r["joint_tests_size_within_depth"], "size", "depth")
    for name in ("depth", "size"):
        yield from means(name, r.get(f"emm_{name}", []))
    yield from omega(r.get("omega2_partial_type3", {}))


def c01(r: dict[str, Any]) -> Iterator[Figure]:
    yield from independent(r)
    yield from interactions(r["interaction_contrasts"]["none"])
    yield from slope("further:1", r["numeric_log2"]["linear_by_linear_in_factor_model"])
    yield from simple(r["joint_tests_depth_within_size"], "depth", "size")


def c03(r: dict[str, Any]) -> Iterator[Figure]:
    yield from independent(r)
    yield from anova("anova_type2", r["anova_type2"])


def c04(r: dict[str, Any]) -> Iterator[Figure]:
    yield from anova("anova_type2", r["car_type2"])
    hc3 = r["interaction_hc3"]
    yield from (("anova_hc3", "depth:size", field, hc3[name]) for field, name in (("statistic", "F"), ("p", "p")))
    for name in ("depth", "size"):
        yield from means(name, r["estimable_emm"][f"emm_{name}"])
    yield from simple(r["joint_tests_size_within_depth"], "size", "depth")
    yield from slope("primary", r["numeric_log2"]["linear_by_linear_in_factor_model"])


def c07(r: dict[str, Any]) -> Iterator[Figure]:
    anova_of = r["rm_anova"]
    for record in anova_of["univariate"]:
        if record["term"] != "(Intercept)":
            yield "rm_anova", record["term"], "sum_sq", record["sum_sq"]
    for record in anova_of["gg_table"]:
        for field, column in (
            ("statistic", "F"),
            ("df1", "df1"),
            ("df2", "df2"),
            ("p", "p"),
            ("partial_eta_sq", "pes"),
        ):
            yield "rm_anova", record["term"], field, record[column]
    for record in anova_of["sphericity_corrections"]:
        yield "rm_anova", record["term"], "epsilon", record["GG eps"]
    seeds = r["per_seed_interaction_slope"]
    for field, name in (("estimate", "mean"), ("statistic", "t"), ("df", "df"), ("p", "p")):
        yield "effects", "primary", field, seeds[name]
    for side, value in zip(("low", "high"), seeds["ci95"], strict=True):
        yield "effects", "primary", f"interval_{side}", value
    yield "effects", "primary", "robust_p", seeds["sign_flip_exact_p"]


def c09(r: dict[str, Any]) -> Iterator[Figure]:
    yield from anova("additive_type2", r["additive_anova_type2"])
    yield from means("depth", r["additive_emm_depth"])
    yield from pairs("depth", {"tukey": r["additive_pairs_depth_tukey"]})
    tukey = r["tukey_one_df_nonadditivity"]
    for field, name in (("statistic", "F"), ("df2", "df2"), ("p", "p"), ("sum_sq", "ss")):
        yield "tukey_nonadditivity", "depth:size", field, tukey[name]
    for field, name in (("estimate", "estimate"), ("se", "se"), ("statistic", "t"), ("p", "p")):
        yield "effects", "primary", field, r["linear_by_linear"][name]


def two(r: dict[str, Any], kind: str, prefix: str = "") -> Iterator[Figure]:
    test = r[kind]
    for field, name in (("estimate", "estimate"), ("statistic", "t"), ("df", "df"), ("p", "p")):
        yield "effects", "primary", f"{prefix}{field}", test[name]
    for side, value in zip(("low", "high"), test["ci95"], strict=True):
        yield "effects", "primary", f"{prefix}interval_{side}", value


def size(record: dict[str, float]) -> Iterator[Figure]:
    yield "effects", "primary", "hedges_g", record["Hedges_g"]


def c15_paired(r: dict[str, Any]) -> Iterator[Figure]:
    yield from two(r, "paired_t")
    yield from size(r["hedges_gz_paired"])
    yield "effects", "primary", "robust_p", r["sign_flip_exact_p"]
    yield "effects", "primary", "equivalence_p", r["tost_paired_0.005"]["p"]


def c15_independent(r: dict[str, Any]) -> Iterator[Figure]:
    yield from two(r, "welch_t")
    yield from two(r, "student_t", "classical_")
    yield from size(r["hedges_g_pooled"])
    yield "effects", "primary", "cliffs_delta", r["cliffs_delta"]["estimate"]
    yield "effects", "primary", "equivalence_p", r["tost_welch_0.005"]["p"]


CASES = (
    ("c01", "balanced", False, INTERACTION, c01),
    ("c03", "unbalanced", False, {}, c03),
    ("c04", "missing cell", False, SLOPE, c04),
    ("c05", "unequal spreads", False, {}, independent),
    ("c07", "shared seeds", True, SLOPE, c07),
    ("c09", "one trial per cell", False, SLOPE, c09),
    ("c15", "two conditions, shared seeds", True, {**CONDITION, "equivalence_margin": 0.005}, c15_paired),
    ("c15", "two conditions, independent", False, {**CONDITION, "equivalence_margin": 0.005}, c15_independent),
)


def document() -> dict[str, Any]:
    cases = []
    for name, title, paired, analysis, figures in CASES:
        frame = pd.read_csv(next(ORACLE.glob(f"{name}_*.csv")))
        answers = json.loads(next(ORACLE.glob(f"{name}_*.json")).read_text("utf-8"))["results"]
        factors = [column for column in ("depth", "size") if len(set(frame[column])) > 1]
        cases.append(
            {
                "name": title,
                "factors": factors,
                "trials": {name: frame[name].tolist() for name in [*factors, "seed", "accuracy"]},
                "paired": paired,
                "analysis": analysis,
                "figures": [list(figure) for figure in figures(answers)],
            }
        )
    sets = json.loads((ORACLE / "nist_anova.json").read_text("utf-8"))["sets"]
    digits = {"AtmWtAg": 9.0, "SiRstv": 12.0, "SmLs01": 12.0, "SmLs07": 3.5}  # as far as 64-bit floats carry the data
    certified = [
        {
            "name": s["name"],
            "group": s["group"],
            "y": [float(v) for v in s["y"]],
            "f": s["f"],
            "digits": digits[s["name"]],
        }
        for s in sets
    ]
    return {"reference": "R 4.2.2", "cases": cases, "certified": certified}


def text() -> str:
    return json.dumps(document(), separators=(",", ":")).replace('{"name"', '\n{"name"') + "\n"


if __name__ == "__main__":
    PACKAGED.write_text(text(), encoding="utf-8")
