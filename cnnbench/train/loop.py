"""Training: phases, epochs, steps.

Shapes: B batch, C channels, H/W pixels, K classes.

A trial is one thread on one device. Nothing inside an epoch waits for the device: losses and hits are summed there and
read once when the epoch is over. The clock runs over the training steps of an epoch, batches included; evaluation,
metrics, warm-up steps and checkpoints are outside.
"""

from __future__ import annotations

import copy
import itertools
import math
import time
from contextlib import nullcontext
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import torch

from cnnbench.data.batches import stream_seed
from cnnbench.design import build_network, group_multipliers, trainable_groups
from cnnbench.environment import comparability
from cnnbench.plugin import EvaluationBatch, ParameterGroup, Progress, component_identity
from cnnbench.spec import Recipe
from cnnbench.train.evaluate import Evaluator, compute_metrics, metric_infos, predictions
from cnnbench.train.examples import Examples
from cnnbench.train.features import FeatureData, cut_network, feature_key
from cnnbench.train.forward import Forward, compiling_explained
from cnnbench.train.kernels import crop_kernels
from cnnbench.train.lr_finder import find_lr
from cnnbench.train.pooling import pool_before_relu
from cnnbench.types import EpochRecord, Predictions

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from numpy.typing import NDArray
    from torch import nn

    from cnnbench.data import PreparedDataset
    from cnnbench.data.batches import TrainingData
    from cnnbench.registry import Registry
    from cnnbench.spec import Phase
    from cnnbench.train.evaluate import View
    from cnnbench.train.features import FeatureFolder
    from cnnbench.types import MetricInfo, Trial

_FINDER_EPOCHS = 2**40
"""Batches of the learning-rate finder are drawn far beyond any epoch's draws."""


class DivergedError(Exception):
    """The training loss, or an output of the network, is no longer finite."""


@dataclass(frozen=True, slots=True)
class EpochSums:
    """What the steps of an epoch have added up on the device."""

    loss: torch.Tensor
    """Sum of the examples' losses, a scalar."""
    hits: torch.Tensor
    """Number of examples that were classified correctly, a scalar."""
    last_multiplier: float
    """The schedule's, at the last step."""


class Training:
    """One trial while it trains."""

    def __init__(
        self,
        trial: Trial,
        registry: Registry,
        dataset: PreparedDataset,
        device: torch.device,
        features: FeatureFolder | None = None,
    ) -> None:
        self.trial, self.dataset, self.device = trial, dataset, device
        self.recipe = Recipe.model_validate(trial.recipe)
        self.seeds: Mapping[str, int] = trial.seeds
        self.model = registry.model(self.recipe.model)
        self.optimizer_component = registry.optimizer(self.recipe.optimizer)
        self.metrics = [registry.metric(ref) for ref in self.recipe.metrics]
        self.augmentations = [registry.augmentation(ref) for ref in self.recipe.augmentation]
        self.schedulers = {phase.name: registry.scheduler(phase.schedule) for phase in self.recipe.phases}
        self.examples = Examples(dataset, self.recipe, self.seeds, registry, device)
        self.forward = Forward(
            device, self.recipe.precision, self.recipe.loss.label_smoothing, is_compiled=self.recipe.compile
        )
        self.evaluator = Evaluator(
            self.recipe.precision, self.augmentations, self.recipe.tta_views, self.seeds["augment"]
        )
        self.splits = ("validation", "test") if self.examples.parts.test.size else ("validation",)
        self.network = self._new_network()
        self.groups = trainable_groups(self.model, self.network)
        self.base_lr = self.optimizer_component.lr
        self.found_lr: float | None = None
        self.optimizer: torch.optim.Optimizer | None = None
        self.train_s = self.train_flops = self.evaluation_s = 0.0
        names = [phase.name for phase in self.recipe.phases]
        self._flops_per_image = dict(zip(names, trial.flops_per_image, strict=True))
        self._feature_folder = features
        self._features: dict[str, FeatureData] = {}
        self._inputs: tuple[nn.Module, TrainingData] | None = None
        """What the present phase trains, and on what: the rest of a cut network on features; None for all of it."""
        self._unbilled: FeatureData | None = None
        """Features that were computed for the present phase; its first epoch answers for the time."""
        self.features_s, self.features_reused = 0.0, False

    def _new_network(self) -> nn.Module:
        torch.manual_seed(self.seeds["init"])
        info = self.dataset.info
        largest_px = max(phase.size_px for phase in self.recipe.phases)
        network = build_network(self.model, info.channels, largest_px, len(info.class_names))
        pool_before_relu(network)
        if self.device.type == "cpu":  # a GPU would wait for one more kernel to be started, and has weights in no time
            crop_kernels(network)
        return network.to(self.device, memory_format=torch.channels_last)  # type: ignore[call-overload,no-any-return]  # torch's stubs lack the keyword form

    # -------------------------------------------------------------------------------------------- phases

    def enter_phase(self, phase: Phase, *, on_features: bool = True) -> None:
        """Freeze what the phase freezes, build its optimizer, and warm everything up on throw-away copies.

        The features of a frozen body are computed here, where the phase allows it and ``on_features`` does; its first
        epoch pays for them.
        """
        self._freeze(phase)
        self.optimizer = self._new_optimizer(phase, self.groups)
        self._inputs = self._cut(phase) if on_features else None
        self._warm_up(phase)

    def _cut(self, phase: Phase) -> tuple[nn.Module, TrainingData] | None:
        """Return the trained rest of the network and the features of its frozen body; None where that cannot be."""
        self._unbilled = None
        *body, _ = self._multipliers(phase).values()
        as_they_are = not self.augmentations and self.examples.copies is None
        chain = tuple(self.model.chain(self.network)) if as_they_are and not any(body) else ()
        if not chain:
            return None
        images, precision = self.examples.images(phase.size_px), self.recipe.precision
        self._set_mode(self.network)
        some_BCHW, _ = images.batch(torch.from_numpy(self.examples.parts.train[:4]), (), None)
        cut = cut_network(self.network, chain, some_BCHW, precision) if len(some_BCHW) > 1 else None
        if cut is None:
            return None
        key = feature_key(cut, self._feature_facts(phase))
        if key not in self._features:
            features = FeatureData(images, cut, precision)
            features.keep(key, self._feature_folder)
            self.features_s += features.compute_s
            self.features_reused |= features.reused
            self._unbilled, self._features = features, {key: features}
        return cut.rest, self._features[key]

    def _feature_facts(self, phase: Phase) -> dict[str, Any]:
        """Return what decides the features of a frozen body beside its state."""
        normalization = self.examples.images(phase.size_px).normalization
        return {
            "model": component_identity(self.model),
            "data": self.trial.data_fingerprint,
            "size_px": phase.size_px,
            "resize": self.recipe.resize,
            "mean": normalization.mean_C.tolist(),
            "std": normalization.std_C.tolist(),
            "machine": comparability(str(self.device), self.recipe.precision),
        }

    def _freeze(self, phase: Phase) -> None:
        multipliers = self._multipliers(phase)
        for name, parameters in self.groups.items():
            for parameter in parameters:
                parameter.requires_grad_(multipliers[name] > 0)

    def _multipliers(self, phase: Phase) -> dict[str, float]:
        return group_multipliers(self.groups, phase.trainable)

    def _new_optimizer(self, phase: Phase, groups: Mapping[str, list[nn.Parameter]]) -> torch.optim.Optimizer:
        lr, multipliers = self._phase_lr(phase), self._multipliers(phase)
        return self.optimizer_component.build(
            [
                ParameterGroup(name, parameters, lr * multipliers[name])
                for name, parameters in groups.items()
                if multipliers[name] > 0 and parameters
            ]
        )

    def _warm_up(self, phase: Phase) -> None:
        """Take one step on copies, so that the clock does not see kernels being chosen and memory being fetched."""
        network, data = self._trained_on(phase)
        copied = copy.deepcopy(network)
        copy_of = dict(zip(network.parameters(), copied.parameters(), strict=True))
        groups = {name: [copy_of[one] for one in members if one in copy_of] for name, members in self.groups.items()}
        optimizer = self._new_optimizer(phase, groups)
        generator = torch.Generator().manual_seed(0)
        self._set_mode(copied)
        # A compiled network is another one for each number of images; the last batch of an epoch may be smaller.
        last = self.examples.per_epoch % self.recipe.batch_size
        for batch_size in (self.recipe.batch_size, *((last,) if self.recipe.compile and last else ())):
            index_B = torch.from_numpy(self.examples.trained[:batch_size])
            inputs_B, label_B = data.batch(index_B, self.augmentations, generator)
            optimizer.zero_grad(set_to_none=True)
            # Forwards and backwards are compiled here.
            with compiling_explained(network) if self.recipe.compile else nullcontext():
                self.loss(copied, inputs_B, label_B).backward()  # type: ignore[no-untyped-call]  # torch leaves it untyped
        optimizer.step()
        self._synchronize()

    def find_lr(self) -> None:
        """Replace the optimizer's learning rate by what the range test finds on the first phase's images."""
        finder, phase = self.recipe.lr_finder, self.recipe.phases[0]
        if finder is None:
            return
        self._freeze(phase)
        torch.manual_seed(stream_seed(self.seeds["dropout"], _FINDER_EPOCHS))

        def batches() -> Iterator[tuple[torch.Tensor, torch.Tensor]]:
            for epoch in itertools.count(_FINDER_EPOCHS):
                yield from self._epoch_batches(phase, epoch)

        def make_optimizer(network: nn.Module) -> torch.optim.Optimizer:
            self._set_mode(network)
            return self._new_optimizer(phase, trainable_groups(self.model, network))

        with compiling_explained(self.network) if self.recipe.compile else nullcontext():
            self.found_lr = self.base_lr = find_lr(finder, self.network, make_optimizer, batches(), self.loss)

    # -------------------------------------------------------------------------------------------- epochs

    def run_epoch(self, phase: Phase, epoch: int, epoch_in_phase: int) -> tuple[EpochRecord, tuple[Predictions, ...]]:
        """Train one epoch and evaluate it.

        Raises:
            DivergedError: The mean training loss or an output is not finite.
        """
        lr, train_s, train_cpu_s, values = self._train_epoch(phase, epoch, epoch_in_phase)
        flops = self._flops_per_image[phase.name] * self.examples.per_epoch
        self.train_s += train_s
        self.train_flops += flops
        started = time.perf_counter()
        is_phase_end = epoch_in_phase == phase.epochs - 1
        views: tuple[View, ...] = phase.evaluate if is_phase_end else ("plain",)
        outputs: list[Predictions] = []
        for split in self.splits:
            for view in views:
                predicted = self._predict(phase, split, view)
                batch = EvaluationBatch(
                    torch.from_numpy(predicted.logits_NK),
                    torch.from_numpy(predicted.label_N),
                    self.train_s,
                    self.train_flops,
                )
                values.update(compute_metrics(self.metrics, batch, split, view))
                outputs.append(predicted)
        self.evaluation_s += time.perf_counter() - started
        record = EpochRecord(epoch, phase.name, phase.size_px, lr, train_s, train_cpu_s, flops, values)
        return record, tuple(outputs)

    def _train_epoch(
        self, phase: Phase, epoch: int, epoch_in_phase: int
    ) -> tuple[float, float, float, dict[str, NDArray[np.floating]]]:
        torch.manual_seed(stream_seed(self.seeds["dropout"], epoch))
        self._set_mode(self.network)
        self._synchronize()
        wall, cpu = time.perf_counter(), time.thread_time()
        sums = self.steps(phase, epoch, epoch_in_phase)
        self._synchronize()
        train_s, train_cpu_s = time.perf_counter() - wall, time.thread_time() - cpu
        if epoch_in_phase == 0 and self._unbilled is not None:  # a resumed trial has paid before
            share = len(self.examples.parts.train) / len(self._unbilled.label_N)
            train_s += share * self._unbilled.compute_s
            train_cpu_s += share * self._unbilled.compute_cpu_s
            self.evaluation_s += (1 - share) * self._unbilled.compute_s
        num = self.examples.per_epoch
        mean_loss = float(sums.loss) / num
        if not math.isfinite(mean_loss):
            raise DivergedError(f"the training loss became {mean_loss} in epoch {epoch} (phase `{phase.name}`).")
        lr = self._phase_lr(phase) * sums.last_multiplier
        values = {"train_loss": np.asarray(mean_loss), "train_accuracy": np.asarray(float(sums.hits) / num)}
        return lr, train_s, train_cpu_s, values

    def time_steps(self, phase: Phase, epoch: int, number: int) -> float:
        """Take the first steps of an epoch of the present phase, and return the seconds that they took together."""
        self._set_mode(self.network)
        self._synchronize()
        began = time.perf_counter()
        self.steps(phase, epoch, 0, number)
        self._synchronize()
        return time.perf_counter() - began

    def steps(self, phase: Phase, epoch: int, epoch_in_phase: int, most: int | None = None) -> EpochSums:
        """Take the steps of an epoch, or its first ones. Nothing waits for the device, and nothing is read from it."""
        optimizer, scheduler = self.optimizer, self.schedulers[phase.name]
        assert optimizer is not None  # noqa: S101 - `enter_phase` comes first
        base_lrs = self._base_lrs(phase)
        num_steps = self.examples.steps_per_epoch
        loss_sum = torch.zeros((), device=self.device)
        hits = torch.zeros((), device=self.device, dtype=torch.int64)
        multiplier = 0.0
        network, data = self._trained_on(phase)
        for step, (inputs_B, label_B) in enumerate(itertools.islice(self._epoch_batches(phase, epoch, data), most)):
            progress = Progress(epoch_in_phase * num_steps + step, phase.epochs * num_steps, num_steps)
            multiplier = scheduler.multiplier(progress)
            for group, base_lr in zip(optimizer.param_groups, base_lrs, strict=True):
                group["lr"] = base_lr * multiplier
            optimizer.zero_grad(set_to_none=True)
            loss, logits_BK = self.forward(network, inputs_B, label_B)
            loss.backward()  # type: ignore[no-untyped-call]  # torch leaves it untyped
            optimizer.step()
            loss_sum += loss.detach() * len(label_B)
            hits += (logits_BK.detach().argmax(dim=1) == label_B).sum()
        return EpochSums(loss_sum, hits, multiplier)

    def _base_lrs(self, phase: Phase) -> list[float]:
        """Return the learning rates of the phase's parameter groups before any schedule."""
        lr, multipliers = self._phase_lr(phase), self._multipliers(phase)
        return [lr * multipliers[name] for name in self.groups if multipliers[name] > 0 and self.groups[name]]

    def _phase_lr(self, phase: Phase) -> float:
        return phase.lr if phase.lr is not None else self.base_lr

    def _trained_on(self, phase: Phase) -> tuple[nn.Module, TrainingData]:
        """Return what the present phase sends its batches through, and where they come from."""
        return self._inputs or (self.network, self.examples.images(phase.size_px))

    def _epoch_batches(
        self, phase: Phase, epoch: int, data: TrainingData | None = None
    ) -> Iterator[tuple[torch.Tensor, torch.Tensor]]:
        seeds = (self.seeds["order"], self.seeds["augment"], epoch)
        data = self.examples.images(phase.size_px) if data is None else data
        return data.training_batches(self.examples.trained, self.recipe.batch_size, seeds, self.augmentations)

    def _predict(self, phase: Phase, split: str, view: View) -> Predictions:
        indices: NDArray[np.int64] = getattr(self.examples.parts, split)
        images = self.examples.images(phase.size_px)
        network, data = self._trained_on(phase) if view == "plain" else (self.network, images)
        logits_NK = self.evaluator.logits_NK(network, data, indices, view)
        # An argmax over NaN is still a class: such an accuracy would look like a number.
        if not bool(logits_NK.isfinite().all()):
            raise DivergedError(f"the outputs on the {split} part are no longer finite (phase `{phase.name}`).")
        return predictions(split, view, indices, data.label_N.cpu()[torch.from_numpy(indices)], logits_NK)

    # -------------------------------------------------------------------------------------------- parts

    def loss(self, network: nn.Module, images_BCHW: torch.Tensor, label_B: torch.Tensor) -> torch.Tensor:
        """Return the recipe's training loss of a network on a batch."""
        return self.forward(network, images_BCHW, label_B)[0]

    @property
    def metric_infos(self) -> tuple[MetricInfo, ...]:
        """Describe every value that this trial records."""
        views: tuple[View, ...] = ("plain", "tta")
        used = [view for view in views if any(view in phase.evaluate for phase in self.recipe.phases)]
        return metric_infos(self.metrics, self.splits, used)

    def _set_mode(self, network: nn.Module) -> None:
        """Training mode for what is trained; frozen layers keep their running statistics as they are."""
        network.train()
        for module in network.modules():
            own = list(module.parameters(recurse=False))
            if own and not any(parameter.requires_grad for parameter in own):
                module.training = False  # this one alone: what it contains may be trained

    def _synchronize(self) -> None:
        if self.device.type == "cuda":
            torch.cuda.synchronize(self.device)
