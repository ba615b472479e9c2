"""fastai: a DataBlock and a Learner, augmented as its own Imagenette script does."""

from __future__ import annotations

import time
from functools import partial

import fastai.callback.progress  # noqa: F401 - it gives learners `no_bar`
import numpy as np
import torch
from fastai.callback.core import Callback
from fastai.data.block import CategoryBlock, DataBlock
from fastai.data.transforms import IndexSplitter, Normalize
from fastai.learner import Learner
from fastai.metrics import accuracy
from fastai.optimizer import SGD
from fastai.torch_core import set_seed
from fastai.vision.augment import FlipItem, RandomResizedCrop
from fastai.vision.core import PILImage
from fastai.vision.data import ImageBlock
from network import build_network, num_parameters
from workload import MEAN_C, NUM_CLASSES, STD_C, Report, Workload


class Clock(Callback):
    """Times the training part of each epoch."""

    def __init__(self) -> None:
        self.epoch_s: list[float] = []

    def before_train(self):
        self.started = time.perf_counter()

    def after_train(self):
        self.epoch_s.append(time.perf_counter() - self.started)


class Autocast(Callback):
    """What fastai's own MixedPrecision does on GPUs, for bfloat16 on the CPU."""

    def before_batch(self):
        self.autocast = torch.autocast(self.dls.device.type, torch.bfloat16)
        self.autocast.__enter__()

    def after_pred(self):
        self.learn.pred = self.pred.float()

    def after_loss(self):
        self.autocast.__exit__(None, None, None)


def main() -> None:
    workload = Workload.given()
    set_seed(workload.seed, reproducible=workload.deterministic)
    if workload.threads:
        torch.set_num_threads(workload.threads)
    if workload.deterministic:
        torch.use_deterministic_algorithms(True)
    train_images, train_labels, validation_images, validation_labels = workload.arrays()
    images = np.concatenate([train_images, validation_images])
    labels = np.concatenate([train_labels, validation_labels])
    block = DataBlock(
        blocks=(ImageBlock, CategoryBlock(vocab=list(range(NUM_CLASSES)))),
        get_x=lambda index: PILImage.create(images[index]),
        get_y=lambda index: int(labels[index]),
        splitter=IndexSplitter(range(len(train_labels), len(labels))),
        item_tfms=[RandomResizedCrop(workload.size_px, min_scale=0.8), FlipItem(0.5)],
        batch_tfms=[Normalize.from_stats(MEAN_C, STD_C)],
    )
    loaders = block.dataloaders(
        range(len(labels)), bs=workload.batch_size, val_bs=256, num_workers=workload.loaders, device=workload.device
    )
    clock = Clock()
    callbacks = [clock, Autocast()] if workload.precision == "bf16" else [clock]
    learner = Learner(
        loaders,
        build_network(workload.network),
        loss_func=torch.nn.CrossEntropyLoss(),
        opt_func=partial(SGD, mom=0.9),
        metrics=accuracy,
        cbs=callbacks,
    )
    with learner.no_bar(), learner.no_logging():
        learner.fit(workload.epochs, lr=workload.lr)
    final = float(learner.recorder.values[-1][-1])
    Report(len(train_labels), clock.epoch_s, [], final, num_parameters(learner.model)).tell()


if __name__ == "__main__":
    main()
