"""A short training that asks whether what is learnt holds in evaluation, on new images, and on the validation part.

One number cannot tell a broken validation from a network that learns by heart, so four are compared:

    in training      accuracy of the last epoch, as it is trained
    seen             the same images, through the evaluation
    kept out         images of the training part that were not trained on
    validation       images of the validation part

Training and seen differ: the evaluation is at fault. Kept out and validation differ: the validation part is. Seen and
kept out differ: it learns by heart.

Shapes: N examples.
"""

from __future__ import annotations

import dataclasses
import time
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import torch
from torch.nn.modules.batchnorm import _BatchNorm

from cnnbench.data import SplitIndices
from cnnbench.doctor.check import Check, count
from cnnbench.doctor.symptom import Answers, exchanged_classes, has_learnt
from cnnbench.train.loop import DivergedError, Training

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from cnnbench.doctor.subjects import NetworkSubject
    from cnnbench.registry import Registry
    from cnnbench.types import Condition, Diagnosis, Predictions, Trial

GENERALISES = Check("short-training", "What is learnt holds in validation")

CAUSES = (
    "Usual causes: labels that are not in the order of their images (a generator that shuffles, labels read apart from "
    "it), classes in another order, images of that part scaled twice or not at all, batch normalisation whose running "
    "statistics lag behind (a momentum of 0.99 and few steps)."
)
MOST_EPOCHS = 40
MOST_TRAINED, MOST_KEPT, MOST_HELD_OUT = 1024, 256, 512
FEWEST_TRAINED = 48
FEWEST_EPOCHS = 5
SETTLING_STEPS = 100
"""Steps at a tenth of the rate at the end: at the full rate, running statistics lag behind weights that move."""
_SHARE_AT_FULL_RATE = 0.6
"""Of the seconds; the rest is for settling."""
SHARE_KEPT = 0.2
_LEARNT = 0.99
FAR = 0.3
"""Difference of two accuracies that should be about equal."""
SURE = 4.0
"""Standard errors by which they must differ at least."""


@dataclass(frozen=True, slots=True)
class Probed:
    """What a short training showed."""

    epochs: int
    images: int
    training: float
    """Accuracy in the last epoch of training."""
    seen: Answers
    kept_out: Answers
    validation: Answers
    renewed: float
    """Accuracy on the same images, evaluated with running statistics that are taken anew from them."""
    settled: bool
    """Whether there was time for running statistics to settle."""


def check_training(subject: NetworkSubject, registry: Registry, device: torch.device, seconds: float) -> Diagnosis:
    """Train for some seconds on a part of the training images, and compare the four accuracies."""
    try:
        probed = _probe(subject, registry, device, seconds)
    except DivergedError as error:
        remedy = "Lower the learning rate, or begin with a warm-up; the short training uses the full rate throughout."
        return GENERALISES.says("warning", subject.name, f"A short training failed: {error}", remedy)
    if probed is None:
        evidence = f"{seconds:.0f} s are too few for a short training of this network."
        return GENERALISES.says("not applicable", subject.name, evidence, _MORE_TIME)
    condition, why, remedy = judge(probed, subject.data.class_names)
    evidence = (
        f"After {count(probed.epochs, 'epoch')} on {count(probed.images, 'image')}: accuracy {probed.training:.2f} in "
        f"training, {probed.seen.accuracy:.2f} on the same images in evaluation, {probed.kept_out.accuracy:.2f} on "
        f"images kept out of training, {probed.validation.accuracy:.2f} in validation (baseline "
        f"{probed.validation.baseline:.2f}). {why}"
    )
    return GENERALISES.says(
        condition,
        subject.name,
        evidence.strip(),
        remedy,
        numbers={
            "training": probed.training,
            "seen": probed.seen.accuracy,
            "renewed": probed.renewed,
            "kept_out": probed.kept_out.accuracy,
            "validation": probed.validation.accuracy,
            "baseline": probed.validation.baseline,
            "epochs": probed.epochs,
            "images": probed.images,
        },
    )


def judge(probed: Probed, class_names: tuple[str, ...]) -> tuple[Condition, str, str]:
    """Return the condition, what explains it, and the remedy."""
    seen, kept_out, validation = probed.seen, probed.kept_out, probed.validation
    if has_learnt(probed.training, seen.baseline) and (seen.at_chance or probed.training - seen.accuracy > FAR):
        return _modes_differ(probed, class_names)
    if not has_learnt(seen.accuracy, seen.baseline):
        return "not applicable", "It has learnt too little to say more.", ""
    exchanged = exchanged_classes(validation, class_names)
    if exchanged:
        return "fault", exchanged, "Make labels from names by one and the same list of classes for all parts."
    if validation.at_chance:
        is_broken = not kept_out.at_chance
        what, remedy = (_BROKEN, _MEND_PART) if is_broken else (_BY_HEART, _MEND_LABELS)
        return "fault" if is_broken else "warning", f"{what} {CAUSES}", remedy
    error = SURE * float(np.sqrt(0.25 / len(validation.label_N) + 0.25 / max(len(kept_out.label_N), 1)))
    if kept_out.accuracy - validation.accuracy > max(FAR, error):
        return "warning", _HARDER, _MEND_DIFFERENCE
    return "ok", "", ""


def _modes_differ(probed: Probed, class_names: tuple[str, ...]) -> tuple[Condition, str, str]:
    seen = probed.seen
    only = f" Nearly all answers are `{class_names[seen.most_given[0]]}`." if seen.collapsed else ""
    by_statistics = has_learnt(probed.renewed, seen.baseline)
    why = f"{_MODES}{only} With running statistics taken anew the accuracy would be {probed.renewed:.2f}" + (
        ": it is batch normalisation." if by_statistics else ": it is not batch normalisation."
    )
    if by_statistics and not probed.settled:
        return "not applicable", f"{why} There was no time for them to settle.", _MORE_TIME
    return "fault" if seen.at_chance else "warning", why, _MEND_STATISTICS if by_statistics else _MEND_MODES


_MORE_TIME = "Give the checks that train more seconds with --budget, or a GPU with --device."
_MODES = "The network knows the images while it is trained and not when it is evaluated."
_MEND_STATISTICS = (
    "Let the running statistics follow faster (a smaller momentum in Keras' sense, a larger one in torch's), take more "
    "steps, end at a small rate, or augment so that training images stay like those that are evaluated."
)
_MEND_MODES = "Look at what differs between the two modes: dropout, scaling, a branch that asks for `training`."
_BROKEN = (
    "New images of the training part are recognised, those of the validation part are not: it is the validation part "
    "that is broken."
)
_MEND_PART = "Compare some images of the validation part, as they are decoded, with their labels."
_BY_HEART = "It learns by heart, and knows no new image, not even of the training part."
_MEND_LABELS = (
    "Compare some images with their labels; if they are right, there are too few images, or the task is hard: augment, "
    "regularise, or use a pre-trained network."
)
_HARDER = "The validation part is much harder than images kept out of training."
_MEND_DIFFERENCE = "Find out in what the parts differ: their source, their scaling, a part of their labels."


def _probe(subject: NetworkSubject, registry: Registry, device: torch.device, seconds: float) -> Probed | None:
    started = time.perf_counter()
    training = Training(_short(subject.trial), registry, subject.data.prepared, device)
    training.metrics = []  # only the answers are of interest
    phase = training.recipe.phases[0]
    training.enter_phase(phase)  # takes one step on copies
    step_s = time.perf_counter() - started
    affordable = int(seconds * training.recipe.batch_size / step_s / FEWEST_EPOCHS)
    training.examples.copies = None  # they would be copies of images that are kept out here
    training.examples.parts = _smaller(training.examples.parts, training.dataset.labels_N(), affordable)
    training.splits = ("validation", "test")  # `test` holds what is kept out of training
    if len(training.examples.parts.train) < min(FEWEST_TRAINED, affordable + 1):
        return None
    accuracy, epoch = 0.0, 0
    while epoch < MOST_EPOCHS and accuracy < _LEARNT and not _is_over(started, _SHARE_AT_FULL_RATE * seconds):
        record, _ = training.run_epoch(phase, epoch, epoch)
        accuracy, epoch = float(record.values["train_accuracy"]), epoch + 1
    slow = phase.model_copy(update={"lr": (phase.lr or training.base_lr) / 10})
    outputs: tuple[Predictions, ...] = ()
    steps = 0
    while not outputs or (steps < SETTLING_STEPS and not _is_over(started, seconds)):
        record, outputs = training.run_epoch(slow, epoch, epoch)
        steps, epoch = steps + training.examples.steps_per_epoch, epoch + 1
    by_split = {one.split: one for one in outputs}
    num_classes = len(subject.data.class_names)
    shown = training.examples.parts.train[:MOST_HELD_OUT]
    seen = _evaluated(training, shown, num_classes)
    if has_learnt(float(record.values["train_accuracy"]), seen.baseline):
        _renew_statistics(training, shown)
    return Probed(
        epochs=epoch,
        images=len(training.examples.parts.train),
        training=float(record.values["train_accuracy"]),
        seen=seen,
        kept_out=_answers(by_split["test"], num_classes),
        validation=_answers(by_split["validation"], num_classes),
        renewed=_evaluated(training, shown, num_classes).accuracy,
        settled=steps >= SETTLING_STEPS,
    )


def _is_over(started: float, seconds: float) -> bool:
    return time.perf_counter() - started > seconds


def _evaluated(training: Training, indices: NDArray[np.int64], num_classes: int) -> Answers:
    data = training.examples.images(training.recipe.phases[0].size_px)
    logits_NK = training.evaluator.logits_NK(training.network, data, indices, "plain")
    return Answers(logits_NK.argmax(dim=1).numpy(), training.dataset.labels_N()[indices], num_classes)


@torch.no_grad()
def _renew_statistics(training: Training, indices: NDArray[np.int64]) -> None:
    """Replace the running statistics of batch normalisation by those of some images as they are."""
    norms = [module for module in training.network.modules() if isinstance(module, _BatchNorm)]
    training.network.eval()
    for norm in norms:
        norm.reset_running_stats()
        norm.momentum = None  # the mean of all batches
        norm.train()
    data = training.examples.images(training.recipe.phases[0].size_px)
    for images_BCHW, label_B in data.evaluation_batches(indices, max(training.recipe.batch_size, 2)):
        if len(label_B) > 1:
            training.network(images_BCHW)


def _short(trial: Trial) -> Trial:
    """Return a trial with one phase, of the size of its last one, at a constant rate, that trains all layers."""
    first, last = trial.recipe["phases"][0], trial.recipe["phases"][-1]
    phase = {
        "name": "probe",
        "epochs": MOST_EPOCHS + SETTLING_STEPS,
        "size_px": last["size_px"],
        "schedule": {"use": "constant"},
        "lr": first["lr"],
    }
    recipe = {**trial.recipe, "phases": [phase], "lr_finder": None}
    return dataclasses.replace(trial, recipe=recipe, flops_per_image=trial.flops_per_image[-1:])


def _smaller(parts: SplitIndices, label_N: NDArray[np.int64], affordable: int) -> SplitIndices:
    """Return fewer images to train on, images of the training part that are kept out (as test), fewer to validate."""
    held_out = parts.validation if parts.validation.size else parts.test
    generator = np.random.default_rng(0)
    num_kept = min(int(len(parts.train) * SHARE_KEPT), MOST_KEPT)
    train = generator.permutation(parts.train)
    kept, train = train[:num_kept], train[num_kept:]
    trained = train[: min(affordable, MOST_TRAINED)]
    known = np.isin(label_N[kept], label_N[trained])
    return SplitIndices(trained, np.sort(generator.permutation(held_out)[:MOST_HELD_OUT]), np.sort(kept[known]))


def _answers(predicted: Predictions, num_classes: int) -> Answers:
    return Answers(predicted.logits_NK.argmax(axis=1), predicted.label_N, num_classes)
