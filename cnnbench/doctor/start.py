"""Before the first step: does the network stand on its feet?

Shapes: B batch, C channels, H/W pixels, K classes.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

import torch
from torch.nn import functional

from cnnbench.doctor.check import Check, count
from cnnbench.train.evaluate import autocast

if TYPE_CHECKING:
    from cnnbench.doctor.subjects import NetworkSubject
    from cnnbench.train.loop import Training
    from cnnbench.types import Condition, Diagnosis

FIRST_LOSS = Check("first-loss", "First loss close to ln K")

IMAGES = 64
HIGH, VERY_HIGH = 1.5, 3.0
"""What the first loss may exceed ln K by: warning, fault. Random logits of deviation s cost about s**2 / 2 more than
equal ones, so these are logits of 1.7 and 2.4."""
LOW = 0.5
"""First loss, as a multiple of ln K, below which it is a fault: nothing has been learnt yet."""
_SAME = 1e-6
_CAUSES = (
    "Usual causes: images that are not normalised (0 to 255), a head that starts too wide or keeps the classes of its "
    "pre-training, probabilities instead of logits."
)


def check_start(subject: NetworkSubject, training: Training) -> Diagnosis:
    """Compare the loss of a new network with ln K, what it costs to know nothing of K classes."""
    logits_BK, label_B = _first_outputs(training)
    smoothing = training.recipe.loss.label_smoothing
    loss = float(functional.cross_entropy(logits_BK, label_B, label_smoothing=smoothing))
    expected = math.log(logits_BK.shape[1])
    numbers = {"loss": loss, "ln_K": expected, "images": float(len(label_B))}
    evidence = f"First loss {loss:.3f} on {count(len(label_B), 'image')}; ln {logits_BK.shape[1]} is {expected:.3f}."
    if not math.isfinite(loss):
        remedy = "Look for a division by zero or a logarithm of zero in the network, and for images without contrast."
        return FIRST_LOSS.says(
            "fault", subject.name, "The first loss is not finite.", remedy, numbers={"ln_K": expected}
        )
    if bool((logits_BK >= 0).all()) and bool(((logits_BK.sum(dim=1) - 1).abs() < 1e-3).all()):
        return FIRST_LOSS.says(
            "fault",
            subject.name,
            f"{evidence} The outputs are probabilities (0 to 1, with sum 1); the loss takes the softmax once more.",
            "Return logits: leave out the softmax at the end of the network.",
            numbers=numbers,
        )
    if len(logits_BK) > 1 and float(logits_BK.std(dim=0).max()) <= _SAME * (1 + float(logits_BK.abs().max())):
        return FIRST_LOSS.says(
            "fault",
            subject.name,
            f"{evidence} The outputs are the same for all images: the network does not see them.",
            "Look for weights of zero, a layer that uses up the image, and images that look alike.",
            numbers=numbers,
        )
    excess, is_low = loss - expected, loss < LOW * expected
    if excess > HIGH or is_low:
        remedy = "Mend the scale of the images or of the head; a network that begins so wastes its first epochs."
        condition: Condition = "fault" if excess > VERY_HIGH or is_low else "warning"
        return FIRST_LOSS.says(condition, subject.name, f"{evidence} {_CAUSES}", remedy, numbers=numbers)
    return FIRST_LOSS.says("ok", subject.name, evidence, numbers=numbers)


@torch.no_grad()
def _first_outputs(training: Training) -> tuple[torch.Tensor, torch.Tensor]:
    """Return logits and labels of the first training images, in training mode, as the first step sees them."""
    data = training.examples.images(training.recipe.phases[0].size_px)
    seeds = (training.seeds["order"], training.seeds["augment"], 0)
    training.network.train()
    outputs, labels, num = [], [], 0
    batch_size = min(training.recipe.batch_size, IMAGES)
    train = training.examples.parts.train
    for images_BCHW, label_B in data.training_batches(train, batch_size, seeds, training.augmentations):
        with autocast(training.device, training.recipe.precision):
            outputs.append(training.network(images_BCHW).float())
        labels.append(label_B)
        num += len(label_B)
        if num >= IMAGES:
            break
    return torch.cat(outputs).cpu(), torch.cat(labels).cpu()
