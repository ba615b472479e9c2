"""What a plugin author has to read: the kinds of components, and the hooks that bring them in.

A plugin is a Python package with an entry point in the group ``cnnbench``. It offers components (models, datasets, ...)
through catalogue hooks, and may watch studies through observer hooks::

    import torch
    from cnnbench.plugin import Model, hookimpl

    class TwoLayer(Model):
        '''Two convolutions and a linear head.'''

        key = "two-layer"
        width: int = 16                    # `model = { use = "two-layer", width = 32 }` in the study file

        def build(self, shape_CHW, num_classes):
            return torch.nn.Sequential(
                torch.nn.Conv2d(shape_CHW[0], self.width, 3, padding=1), torch.nn.ReLU(),
                torch.nn.Conv2d(self.width, self.width, 3, padding=1), torch.nn.ReLU(),
                torch.nn.AdaptiveAvgPool2d(1), torch.nn.Flatten(), torch.nn.Linear(self.width, num_classes),
            )

    @hookimpl
    def cnnbench_models():
        return [TwoLayer]

and in its pyproject.toml::

    [project.entry-points.cnnbench]
    my-plugin = "my_package.plugin"

A component is **its validated parameters plus one method**. It is a frozen pydantic model: hashable, picklable, and a
misspelt parameter is refused before anything runs. Its parameters, its `key` and its `version` are part of the
identity of every trial that uses it: raise `version` when the same parameters begin to mean something else, and
finished trials of the old version will not be reused. Import torch inside methods rather than at the top of the module
where you can: ``cnnbench plugins list`` and study validation then stay instant.

Shapes: B batch, N examples, C channels, H/W pixels, K classes.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, ClassVar, Literal

import pluggy
from pydantic import BaseModel, ConfigDict

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from pathlib import Path

    import numpy as np
    import torch
    from numpy.typing import NDArray
    from torch import nn

    from cnnbench.types import EpochRecord, Plan, Section, StudyView, Trial, TrialFailure, TrialResult

__all__ = [
    "Augmentation",
    "Component",
    "Dataset",
    "EvaluationBatch",
    "ImageArrays",
    "Metric",
    "Model",
    "Optimizer",
    "ParameterGroup",
    "Progress",
    "ReportSection",
    "Scheduler",
    "hookimpl",
]

PROJECT_NAME = "cnnbench"
hookspec = pluggy.HookspecMarker(PROJECT_NAME)
hookimpl = pluggy.HookimplMarker(PROJECT_NAME)
"""Marks a function (or a method of a plugin object) as the implementation of a hook."""


# ------------------------------------------------------------------------------------------------ values


@dataclass(frozen=True, slots=True)
class ImageArrays:
    """A dataset as it is decoded, before any resizing."""

    images: Sequence[NDArray[np.uint8]] | NDArray[np.uint8]
    """N images as C x H x W uint8 with C = 1 or 3; one N x C x H x W array (also memory-mapped) where all sizes agree,
    else a sequence whose items may be decoded on access. An item is the same whenever and wherever it is taken: a
    sequence that can be pickled is read in several processes at once, in any order, after having been pickled; one that
    cannot be, because it holds an open file say, in one process."""
    label_N: NDArray[np.int64]
    """Class of each image, 0 to K - 1."""
    class_names: tuple[str, ...]
    """K names; a class without an image is refused."""
    split_N: NDArray[np.str_] | None = None
    """``train``, ``validation`` or ``test`` for each image, where the dataset brings its own splits."""
    group_N: NDArray[np.str_] | None = None
    """Name of what each image belongs to (a patient, a recording), where images of one group are too much alike to
    stand on both sides of a split. An image that belongs to nothing has a name of its own."""
    name_N: Sequence[str] | None = None
    """Name of each image, e.g. its file: what the doctor calls it. No part of a trial's identity."""
    state_N: Sequence[str] | None = None
    """For each image a text that changes when its source does (path, size and time of its file), and with whatever else
    decides what becomes of it. A preparation that was interrupted goes on with the images whose texts are the same;
    without texts it goes on only if `Dataset.source_state` is the same. No part of a trial's identity."""


@dataclass(frozen=True, slots=True)
class ParameterGroup:
    """Parameters that share a learning rate."""

    name: str
    """Layer group, e.g. ``head``."""
    parameters: Sequence[nn.Parameter]
    lr: float
    """Base learning rate: the phase's, times the group's multiplier."""


@dataclass(frozen=True, slots=True)
class Progress:
    """Where training stands within its phase, just before a step."""

    step: int
    """Steps done in this phase, from 0 to ``total_steps - 1``."""
    total_steps: int
    steps_per_epoch: int

    @property
    def epoch(self) -> float:
        """Epochs done in this phase, with fractions."""
        return self.step / self.steps_per_epoch

    @property
    def fraction(self) -> float:
        """Share of the phase that is done, from 0 up to but not including 1."""
        return self.step / self.total_steps


@dataclass(frozen=True, slots=True)
class EvaluationBatch:
    """All predictions of one evaluation, on the CPU."""

    logits_NK: torch.Tensor
    """Float32 logits; for test-time augmentation log-probabilities of the averaged softmax."""
    label_N: torch.Tensor
    """Int64 classes."""
    train_s: float
    """Seconds of training up to here; evaluation excluded."""
    train_flops: float
    """Floating-point operations of training up to here."""


# ------------------------------------------------------------------------------------------------ components


class Component(BaseModel):
    """Validated parameters plus one method. Derive from one of the kinds below, never from this class."""

    model_config = ConfigDict(frozen=True, extra="forbid", arbitrary_types_allowed=False, allow_inf_nan=False)

    key: ClassVar[str]
    """Name in study files: lower case, words joined by hyphens."""
    version: ClassVar[str] = "1"
    """Raise it when the same parameters begin to mean something else."""
    later: ClassVar[frozenset[str]] = frozenset()
    """Parameters that were added after the component was first published, whose defaults mean what it did before: they
    enter the identity of a trial only where they are set, so that finished trials are found again."""


class Model(Component):
    """A network architecture."""

    def build(self, shape_CHW: tuple[int, int, int], num_classes: int) -> nn.Module:
        """Return a freshly initialised network that maps float32 ``B x C x H x W`` to logits ``B x K``.

        Called once per trial, with the trial's init seed set on the default generator, and once per shape on the meta
        device when the design is checked, so do not move tensors to a device here. ``shape_CHW`` is the shape of the
        largest phase; the network must accept every ``size_px`` of the study, or raise (or let torch raise) for a size
        that it cannot handle: the cell is then reported as infeasible, not as an error.
        """
        raise NotImplementedError

    def layer_groups(self, network: nn.Module) -> Mapping[str, Sequence[str]]:
        """Return layer groups from input to output, as prefixes of parameter names; the last one is the head.

        Phases name these groups in ``trainable``. By default the last child module with parameters is ``head`` and
        everything before it is ``body``.
        """
        children = [name for name, child in network.named_children() if any(True for _ in child.parameters())]
        return {"body": children[:-1], "head": children[-1:]}

    def chain(self, network: nn.Module) -> Sequence[nn.Module]:
        """Return modules that compute what the network computes when they are applied one after another.

        Where a phase trains the head alone, on images as they are, the engine computes what lies below it once for each
        image. That works up to the first module that draws at random (dropout) or learns. They are modules of the
        network, or such without parameters (`torch.nn.Flatten`). Empty where a network cannot be written so; by default
        the layers of a `torch.nn.Sequential`.
        """
        from torch import nn  # noqa: PLC0415 - a plan must not wait for torch

        return list(network) if type(network).forward is nn.Sequential.forward else ()  # type: ignore[call-overload]  # it has layers


class Dataset(Component):
    """Labelled images."""

    def load(self, cache: Path) -> ImageArrays:
        """Return all images with their labels, in an order that depends on nothing but the parameters and the files.

        ``cache`` is an existing folder for whatever the dataset downloads or unpacks. Called in the parent
        process when the cache lacks a size that a study uses, never once per trial.

        Raises:
            cnnbench.errors.DataError: Files are missing or broken; the message names the file and the remedy.
        """
        raise NotImplementedError

    def source_state(self) -> str:
        """Return a short text that changes when the files behind the dataset change, without reading them all.

        The decoded images are cached under the parameters, `version` and this text. The default, an empty text, is
        right for data that come with the package or are drawn from a seed.
        """
        return ""


class Augmentation(Component):
    """A random transformation of training images."""

    moves_whole_pixels: ClassVar[bool] = False
    """Whether `apply` only puts pixels elsewhere, none of them changed. Then it is given uint8 where it can be: a
    quarter of the work."""

    def apply(self, images_BCHW: torch.Tensor, rng: torch.Generator) -> torch.Tensor:
        """Return transformed images of the same shape, with randomness drawn **for each image** from ``rng``.

        ``images_BCHW`` is float32 in 0 to 1 (or uint8, where ``moves_whole_pixels``), on the training device, not yet
        normalised, and must not be changed in place. ``rng`` is a generator on the CPU: draw the few numbers per image
        there and move them with ``.to(images_BCHW.device, non_blocking=True)``, so that a GPU need not be waited for.
        """
        raise NotImplementedError


class Optimizer(Component):
    """A torch optimizer."""

    lr: float
    """Base learning rate, used by every phase that does not set its own."""

    def build(self, groups: Sequence[ParameterGroup]) -> torch.optim.Optimizer:
        """Return an optimizer with one parameter group for each of ``groups``, in order, at the group's ``lr``.

        A new optimizer is built at the start of every phase.
        """
        raise NotImplementedError


class Scheduler(Component):
    """A learning-rate schedule: a pure function of progress."""

    def multiplier(self, progress: Progress) -> float:
        """Return the factor by which every base learning rate is multiplied for the coming step (0 or more)."""
        raise NotImplementedError


class Metric(Component):
    """A number (or an array) computed from the predictions of an evaluation."""

    dims: ClassVar[tuple[str, ...]] = ()
    """Dimensions of the result; ``class`` and ``predicted_class`` have length K and carry the class names."""
    unit: ClassVar[str] = "1"
    """Unit in UDUNITS style: ``1`` for fractions, ``s``, ``s-0.5``."""
    long_name: ClassVar[str]
    """As axes and tables call it, e.g. ``Accuracy``."""
    higher_is_better: ClassVar[bool | None]
    """None where neither direction is better."""
    bounded: ClassVar[Literal["unit", "positive", "none"]] = "none"
    """``unit``: between 0 and 1 (a logit scale makes sense); ``positive``: above 0 (a log scale does)."""
    uses_time: ClassVar[bool] = False
    """Whether the value depends on measured seconds: such trials must run alone on their device to be compared."""
    share_of_examples: ClassVar[bool] = False
    """Whether the value times the number of evaluated examples counts some of them, as accuracy does: the analysis
    then knows the noise that comes from the evaluated examples alone."""

    def compute(self, batch: EvaluationBatch) -> torch.Tensor:
        """Return the value as a float32 or float64 tensor with the shape of `dims` (0-d for a scalar).

        Called after the clock has stopped, on the CPU.
        """
        raise NotImplementedError


class ReportSection(Component):
    """An additional section of the report."""

    def render(self, view: StudyView) -> Section:
        """Return the section for this study; it must not write files."""
        raise NotImplementedError


# ------------------------------------------------------------------------------------------------ hooks


class CatalogueHooks:
    """Called once each, when the plugin is loaded. Every hook returns component classes, not instances."""

    @hookspec
    def cnnbench_models(self) -> Sequence[type[Model]]:
        """Return model classes."""
        raise NotImplementedError

    @hookspec
    def cnnbench_datasets(self) -> Sequence[type[Dataset]]:
        """Return dataset classes."""
        raise NotImplementedError

    @hookspec
    def cnnbench_augmentations(self) -> Sequence[type[Augmentation]]:
        """Return augmentation classes."""
        raise NotImplementedError

    @hookspec
    def cnnbench_optimizers(self) -> Sequence[type[Optimizer]]:
        """Return optimizer classes."""
        raise NotImplementedError

    @hookspec
    def cnnbench_schedulers(self) -> Sequence[type[Scheduler]]:
        """Return learning-rate schedule classes."""
        raise NotImplementedError

    @hookspec
    def cnnbench_metrics(self) -> Sequence[type[Metric]]:
        """Return metric classes."""
        raise NotImplementedError

    @hookspec
    def cnnbench_report_sections(self) -> Sequence[type[ReportSection]]:
        """Return report section classes; each is rendered with its default parameters after the standard sections."""
        raise NotImplementedError


class ObserverHooks:
    """Called while a study runs. They watch: they return nothing and cannot change a result.

    They run in the parent process, with values in main memory, after the trial's clock has stopped. An observer that
    raises is reported once and called no more; the study goes on.
    """

    @hookspec
    def cnnbench_study_started(self, plan: Plan, num_finished: int, estimate_s: float | None) -> None:
        """Called before the first trial; ``num_finished`` trials of the plan are there already.

        ``estimate_s`` is the expected wall time of the rest, where there is a ground for one.
        """

    @hookspec
    def cnnbench_trial_started(self, trial: Trial, device: str, resumed_epoch: int) -> None:
        """Called when a worker takes a trial up; ``resumed_epoch`` is 0 unless it goes on from a checkpoint."""

    @hookspec
    def cnnbench_epoch_finished(self, trial: Trial, record: EpochRecord) -> None:
        """Called after each epoch of each trial."""

    @hookspec
    def cnnbench_trial_finished(self, trial: Trial, outcome: TrialResult | TrialFailure) -> None:
        """Called when a trial's outcome is safely on disk."""

    @hookspec
    def cnnbench_plan_extended(self, plan: Plan, num_finished: int, estimate_s: float | None) -> None:
        """Called when a round of trials has decided what the next one runs; ``plan`` holds both.

        Only where the plan depends on results. The other arguments are those of `cnnbench_study_started`.
        """

    @hookspec
    def cnnbench_study_finished(self, plan: Plan, num_finished: int, num_failed: int) -> None:
        """Called at the end, also after an interruption."""


KINDS: Mapping[str, tuple[type[Component], str]] = {
    "model": (Model, "cnnbench_models"),
    "dataset": (Dataset, "cnnbench_datasets"),
    "augmentation": (Augmentation, "cnnbench_augmentations"),
    "optimizer": (Optimizer, "cnnbench_optimizers"),
    "scheduler": (Scheduler, "cnnbench_schedulers"),
    "metric": (Metric, "cnnbench_metrics"),
    "report section": (ReportSection, "cnnbench_report_sections"),
}
"""Kind -> base class and catalogue hook."""


def component_identity(component: Component) -> dict[str, Any]:
    """Return a component as plain JSON values: its key, its version and every parameter, defaults filled in.

    Parameters that came `later` are left out where they have their defaults.
    """
    fields = type(component).model_fields
    unset = {name for name in component.later if getattr(component, name) == fields[name].default}
    return {"use": component.key, "version": component.version, **component.model_dump(mode="json", exclude=unset)}
