"""A comparison over examples as tables of findings."""

from __future__ import annotations

from typing import TYPE_CHECKING

from cnnbench.stats.trials.cells import level_text
from cnnbench.types import TestRow, TestTable

if TYPE_CHECKING:
    from cnnbench.types import ExampleComparison, ExamplePair


def example_tables(found: ExampleComparison, factor: str) -> list[TestTable]:
    """Return Cochran's Q, then McNemar's tests of all pairs."""
    tables = [
        TestTable(
            "mcnemar",
            "McNemar tests, exact",
            f"Examples that exactly one has right, as tosses of a fair coin; {found.num_examples} examples in all.",
            tuple(
                TestRow(_label(pair), None, None, None, pair.p_exact, p_adjusted=pair.p_exact_holm, note=_counts(pair))
                for pair in found.pairs
            ),
            "n",
            found.family.replace("all pairs", f"all pairs of {factor}"),
        ),
        TestTable(
            "mcnemar_chisq",
            "McNemar tests, chi-square",
            "The same counts by the chi-square distribution, without continuity correction.",
            tuple(TestRow(_label(pair), pair.chisq, 1, None, pair.p_chisq) for pair in found.pairs),
            "χ²",
        ),
        TestTable(
            "mcnemar_chisq_corrected",
            "McNemar tests, chi-square with continuity correction",
            "The same counts by the chi-square distribution, with continuity correction.",
            tuple(TestRow(_label(pair), pair.chisq_corrected, 1, None, pair.p_chisq_corrected) for pair in found.pairs),
            "χ²",
        ),
    ]
    if found.cochran_q is None:
        return tables
    row = TestRow(factor, found.cochran_q, found.cochran_df, None, found.cochran_p)
    method = f"Whether all are right equally often, over {found.num_examples} examples as blocks (Cochran 1950)."
    return [TestTable("cochran_q", "Cochran's Q test", method, (row,), "Q"), *tables]


def _label(pair: ExamplePair) -> str:
    return f"{level_text(pair.first)} - {level_text(pair.second)}"


def _counts(pair: ExamplePair) -> str:
    return f"{pair.n10} right by the first alone, {pair.n01} by the second alone"
