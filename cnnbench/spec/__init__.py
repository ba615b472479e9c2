"""The study file: TOML in, validated values out, with the position of every error."""

from cnnbench.spec.checks import component_places, in_order, patches
from cnnbench.spec.contrast import parse_contrast
from cnnbench.spec.declare import analysis_hash
from cnnbench.spec.load import StudyFile, load_study
from cnnbench.spec.model import (
    AnalysisSpec,
    DesignSpec,
    Exclude,
    FactorSpec,
    Hypothesis,
    Reference,
    ResponseSpec,
    StudySpec,
)
from cnnbench.spec.overlay import set_path
from cnnbench.spec.problems import Finding, check_table, did_you_mean, explain
from cnnbench.spec.recipe import Loss, LrFinder, Oversample, Phase, Recipe, RecipeInput, Ref, Split
from cnnbench.spec.toml import KeyPath

__all__ = [
    "AnalysisSpec",
    "DesignSpec",
    "Exclude",
    "FactorSpec",
    "Finding",
    "Hypothesis",
    "KeyPath",
    "Loss",
    "LrFinder",
    "Oversample",
    "Phase",
    "Recipe",
    "RecipeInput",
    "Ref",
    "Reference",
    "ResponseSpec",
    "Split",
    "StudyFile",
    "StudySpec",
    "analysis_hash",
    "check_table",
    "component_places",
    "did_you_mean",
    "explain",
    "in_order",
    "load_study",
    "parse_contrast",
    "patches",
    "set_path",
]
