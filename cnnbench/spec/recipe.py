"""The recipe: what one trial does.

`RecipeInput` is the recipe as a study file writes it, with components as tables that name what they ``use``.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Annotated, Any, ClassVar, Literal, Self

from pydantic import (
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    SerializerFunctionWrapHandler,
    model_serializer,
    model_validator,
)

if TYPE_CHECKING:
    from collections.abc import Sequence

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


class GrowingPart(Part):
    """A part of the study file whose later keys stay out of its JSON while they are unset.

    A trial is named by the JSON of its recipe, and the plan of the analysis by a hash: a key that a newer version adds
    must not rename what does without it.
    """

    later: ClassVar[frozenset[str]] = frozenset()
    """Keys that were added after the first version; their defaults mean what was done before."""

    @model_serializer(mode="wrap")
    def _without_unset_later_keys(self, to_plain: SerializerFunctionWrapHandler) -> dict[str, Any]:
        plain: dict[str, Any] = to_plain(self)
        fields = type(self).model_fields
        unset = {name for name in self.later if getattr(self, name) == fields[name].default}
        return {name: value for name, value in plain.items() if name not in unset}


class Split(GrowingPart):
    """How examples are divided into training, validation and test."""

    later = frozenset({"groups"})

    use: Literal["random", "predefined"] = Field(
        "random", description="`random`: drawn from the trial's split seed; `predefined`: as the dataset brings it."
    )
    validation: float = Field(0.1, gt=0, lt=1, description="Share of the examples used for validation.")
    test: float = Field(0.0, ge=0, lt=1, description="Share kept for testing; results are read there if it is not 0.")
    stratify: bool = Field(default=True, description="Keep the classes' shares in every part.")
    groups: Literal["auto", "keep", "ignore"] = Field(
        "auto",
        description="Whether images of one group (a patient) stay together: `auto`: if the dataset names groups; "
        "`keep`: and a dataset without them is refused; `ignore`: no.",
    )

    @model_validator(mode="after")
    def _leaves_something(self) -> Self:
        if self.validation + self.test >= 1:
            raise ValueError("`validation` and `test` together leave nothing to train on; lower one of them.")
        return self


class Oversample(Part):
    """Copies of training images of the smaller classes, made once before training, each by an augmentation.

    They are drawn from the training part alone, so nothing of them is in validation or test.
    """

    share: Annotated[float, Field(ge=0)] | Literal["balance"] = Field(
        description="Copies of each class, as a share of its training images (0: none, as a factor's first level); "
        "`balance`: as many as the largest class has more.",
    )
    classes: Literal["minority"] | tuple[str, ...] = Field(
        "minority", description="`minority`: all but the largest class of the training part; or their names."
    )
    augmentation: tuple[ComponentRef, ...] = Field((), description="How copies are made; none: they are exact ones.")
    apply: Literal["one", "all"] = Field(
        "one", description="`one`: each copy by one of the augmentations, drawn at random; `all`: by all, in order."
    )

    def num_copies(self, count_K: Sequence[int], class_names: Sequence[str]) -> list[int]:
        """Return the copies of each class, rounded half up, for the training images that there are of each.

        Of several largest classes none is a minority.
        """
        largest = max(count_K)
        copies = []
        for count, name in zip(count_K, class_names, strict=True):
            chosen = count < largest if self.classes == "minority" else name in self.classes
            wanted = largest - count if self.share == "balance" else math.floor(count * self.share + 0.5)
            copies.append(wanted if chosen else 0)
        return copies


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


class RecipeInput(GrowingPart):
    """`[trial]`: what every trial does unless a factor changes it."""

    later = frozenset({"compile", "oversample", "save_weights"})

    model: ComponentRef
    dataset: ComponentRef
    split: Split = Split()
    loss: Loss = Loss()
    optimizer: ComponentRef = Ref(use="adam")
    lr_finder: LrFinder | None = None
    batch_size: int = Field(64, ge=1)
    precision: Literal["fp32", "bf16"] = "fp32"
    compile: bool = Field(
        default=False,
        description="Train the network as torch.compile makes it: other last bits, and half a minute for each network "
        "and size once on a machine; `cnnbench speed --compile` says whether its steps are faster.",
    )
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
    oversample: Oversample | None = Field(None, description="Augmented copies of images of the smaller classes.")
    metrics: tuple[ComponentRef, ...] = Field((Ref(use="accuracy"), Ref(use="loss")), min_length=1)
    save_weights: Literal["none", "last", "best"] = Field(
        "none",
        description="Keep the network's weights: of the last epoch, or of the one with the best validation value of "
        "the first metric that is one number.",
    )
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
