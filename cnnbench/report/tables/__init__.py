"""Findings as tables of text: what the page prints, row by row."""

from cnnbench.report.tables.effects import claim_effect, effects_table, references_table, sizes_table
from cnnbench.report.tables.study import cells_table, exclusions_table, factors_table, failures_table, section_table
from cnnbench.report.tables.table import Column, Table
from cnnbench.report.tables.tests import (
    accuracies_table,
    example_pairs_table,
    ranks_table,
    table_of_tests,
    term,
    variance_table,
)

__all__ = [
    "Column",
    "Table",
    "accuracies_table",
    "cells_table",
    "claim_effect",
    "effects_table",
    "example_pairs_table",
    "exclusions_table",
    "factors_table",
    "failures_table",
    "ranks_table",
    "references_table",
    "section_table",
    "sizes_table",
    "table_of_tests",
    "term",
    "variance_table",
]
