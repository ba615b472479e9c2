"""The study file: TOML in, validated values out, with the position of every error."""

from cnnbench.spec.contrast import parse_contrast
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
from cnnbench.spec.recipe import Loss, LrFinder, Phase, Recipe, RecipeInput, Ref, Split

__all__ = [
    "AnalysisSpec",
    "DesignSpec",
    "Exclude",
    "FactorSpec",
    "Hypothesis",
    "Loss",
    "LrFinder",
    "Phase",
    "Recipe",
    "RecipeInput",
    "Ref",
    "Reference",
    "ResponseSpec",
    "Split",
    "StudySpec",
    "parse_contrast",
]
