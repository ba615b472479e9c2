"""The study file: TOML in, validated values out, with the position of every error."""

from cnnbench.spec.adaptive import CONFIRM, SETTING
from cnnbench.spec.checks import component_places, dataset_factor, in_order, patches, random_factor
from cnnbench.spec.contrast import parse_contrast
from cnnbench.spec.declare import analysis_hash
from cnnbench.spec.differences import differences, shown
from cnnbench.spec.load import StudyFile, load_study
from cnnbench.spec.model import (
    AnalysisSpec,
    DesignSpec,
    Exclude,
    FactorSpec,
    Hypothesis,
    Reference,
    ResponseSpec,
    SeedsRule,
    StageSpec,
    StudySpec,
)
from cnnbench.spec.overlay import set_path
from cnnbench.spec.problems import Finding, check_table, did_you_mean, explain
from cnnbench.spec.recipe import Loss, LrFinder, Oversample, Phase, Recipe, RecipeInput, Ref, Split
from cnnbench.spec.toml import KeyPath

__all__ = [
    "CONFIRM",
    "SETTING",
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
    "SeedsRule",
    "Split",
    "StageSpec",
    "StudyFile",
    "StudySpec",
    "analysis_hash",
    "check_table",
    "component_places",
    "dataset_factor",
    "did_you_mean",
    "differences",
    "explain",
    "in_order",
    "load_study",
    "parse_contrast",
    "patches",
    "random_factor",
    "set_path",
    "shown",
]
