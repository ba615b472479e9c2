"""The recipe: what one trial does.

`RecipeInput` is the recipe as a study file writes it, with components as tables that name what they ``use``.
"""

from __future__ import annotations

from typing import Annotated, Any, Literal, Self

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, model_validator

NAME_PATTERN = r"^[a-z][a-z0-9_-]*$"
"""What factors, phases and responses may be called."""


class Part(BaseModel):
    """A part of a study file: frozen, and a misspelt key is refused."""

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)


class Ref(BaseModel):
    """A component with its parameters: ``{ use = "sgd", lr = 0.05 }``; the registry validates the parameters."""

    model_config = ConfigDict(frozen=True, extra="allow", allow_inf_nan=False)

    use: str = Field(min_length=1, description="Name of the component (see `cnnbench plugins list`).")

    @property
    def parameters(self) -> dict[str, Any]:
        """The component's own parameters, as written."""
        return dict(self.__pydantic_extra__ or {})


def _shorthand(value: object) -> object:
    return {"use": value} if isinstance(value, str) else value


ComponentRef = Annotated[Ref, BeforeValidator(_shorthand)]
"""A `Ref`, or just the component's name where its defaults will do."""

Trainable = Literal["all", "head"] | dict[str, Annotated[float, Field(ge=0)]]


class Split(Part):
    """How examples are divided into training, validation and test."""

    use: Literal["random", "predefined"] = Field(
        "random", description="`random`: drawn from the trial's split seed; `predefined`: as the dataset brings it."
    )
    validation: float = Field(0.1, gt=0, lt=1, description="Share of the examples used for validation.")
    test: float = Field(0.0, ge=0, lt=1, description="Share kept for testing; results are read there if it is not 0.")
    stratify: bool = Field(default=True, description="Keep the classes' shares in every part.")

    @model_validator(mode="after")
    def _leaves_something(self) -> Self:
        if self.validation + self.test >= 1:
            raise ValueError("`validation` and `test` together leave nothing to train on; lower one of them.")
        return self


class Loss(Part):
    """The training loss."""

    use: Literal["cross-entropy"] = "cross-entropy"
    label_smoothing: float = Field(0.0, ge=0, lt=1)


class LrFinder(Part):
    """Learning-rate range test before the first phase (Smith 2015, arXiv:1506.01186, section 3.3).

    The rate grows geometrically from ``low`` to ``high`` on throw-away copies of network and optimizer; the smoothed
    loss's steepest descent is taken, and replaces the optimizer's ``lr``.
    """

    low: float = Field(1e-5, gt=0)
    high: float = Field(1.0, gt=0)
    steps: int = Field(60, ge=10)

    @model_validator(mode="after")
    def _ordered(self) -> Self:
        if self.low >= self.high:
            raise ValueError("`low` must be below `high`.")
        return self


class Phase(Part):
    """A stretch of training with one image size and one schedule."""

    name: str = Field(pattern=NAME_PATTERN, description="Used by factor paths: `phases.NAME.size_px`.")
    epochs: int = Field(ge=1)
    size_px: int = Field(ge=1, description="Side of the square training and evaluation images, px.")
    schedule: ComponentRef = Ref(use="constant")
    lr: float | None = Field(None, gt=0, description="Base learning rate of this phase; default: the optimizer's.")
    trainable: Trainable = Field(
        "all", description='"all", "head", or a learning-rate multiplier for each layer group (0 or absent: frozen).'
    )
    evaluate: tuple[Literal["plain", "tta"], ...] = Field(
        ("plain",), min_length=1, description="`tta` adds test-time augmentation at the end of the phase."
    )

    @model_validator(mode="after")
    def _plain_is_there(self) -> Self:
        if "plain" not in self.evaluate:
            raise ValueError('`evaluate` must contain "plain": learning curves are drawn from it.')
        return self


class RecipeInput(Part):
    """`[trial]`: what every trial does unless a factor changes it."""

    model: ComponentRef
    dataset: ComponentRef
    split: Split = Split()
    loss: Loss = Loss()
    optimizer: ComponentRef = Ref(use="adam")
    lr_finder: LrFinder | None = None
    batch_size: int = Field(64, ge=1)
    precision: Literal["fp32", "bf16"] = "fp32"
    augmentation: tuple[ComponentRef, ...] = Field((), description="Applied in this order to every training batch.")
    tta_views: int = Field(
        4, ge=1, description="Augmented views averaged with the plain one in test-time augmentation."
    )
    resize: Literal["crop", "squash"] = Field(
        "crop", description="`crop`: shorter side to size, then the centre; `squash`: both sides to size."
    )
    normalization: Literal["train", "imagenet", "none"] = Field(
        "train", description="Channel means and deviations of the training part, ImageNet's, or none (0 to 1)."
    )
    metrics: tuple[ComponentRef, ...] = Field((Ref(use="accuracy"), Ref(use="loss")), min_length=1)
    phases: tuple[Phase, ...] = Field(min_length=1)

    @model_validator(mode="after")
    def _names_are_unique(self) -> Self:
        for what, names in (
            ("phases", [phase.name for phase in self.phases]),
            ("metrics", [metric.use for metric in self.metrics]),
        ):
            twice = sorted({name for name in names if names.count(name) > 1})
            if twice:
                raise ValueError(f"`{what}` names {', '.join(f'`{name}`' for name in twice)} more than once.")
        return self


class Recipe(RecipeInput):
    """A fully resolved recipe: every component carries its version and all its parameters."""
