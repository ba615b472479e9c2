"""PyTorch Lightning: a LightningModule, data loaders and a Trainer."""

from __future__ import annotations

import time
import warnings

import lightning
import torch
from array_dataset import ArrayDataset
from network import build_network, num_parameters
from torch.nn import functional
from torch.utils.data import DataLoader
from torchmetrics.classification import MulticlassAccuracy
from torchvision import transforms
from workload import MEAN_C, NUM_CLASSES, STD_C, Report, Workload


class Classifier(lightning.LightningModule):
    def __init__(self, workload: Workload) -> None:
        super().__init__()
        self.network, self.lr = build_network(workload.network), workload.lr
        self.accuracy = MulticlassAccuracy(NUM_CLASSES, average="micro")

    def training_step(self, batch, index):
        images, labels = batch
        loss = functional.cross_entropy(self.network(images), labels)
        self.log("train_loss", loss)
        return loss

    def validation_step(self, batch, index):
        images, labels = batch
        self.accuracy(self.network(images), labels)
        self.log("validation_accuracy", self.accuracy)

    def configure_optimizers(self):
        return torch.optim.SGD(self.parameters(), lr=self.lr, momentum=0.9)


class Clock(lightning.Callback):
    """Times the training part of each epoch: validation begins when its last step is done."""

    def __init__(self) -> None:
        self.epoch_s: list[float] = []
        self.started: float | None = None

    def on_train_epoch_start(self, trainer, module):
        self.started = time.perf_counter()

    def on_validation_start(self, trainer, module):
        if self.started is not None:  # else it is the sanity check
            self.epoch_s.append(time.perf_counter() - self.started)


def main() -> None:
    warnings.filterwarnings("ignore", module="lightning")
    workload = Workload.given()
    lightning.seed_everything(workload.seed, workers=True, verbose=False)
    if workload.threads:
        torch.set_num_threads(workload.threads)
    train_images, train_labels, validation_images, validation_labels = workload.arrays()
    plain = transforms.Compose([transforms.ToTensor(), transforms.Normalize(MEAN_C, STD_C)])
    crop = transforms.RandomCrop(workload.size_px, padding=workload.size_px // 8, padding_mode="reflect")
    augmented = transforms.Compose([crop, transforms.RandomHorizontalFlip(), plain])
    options = {
        "num_workers": workload.loaders,
        "persistent_workers": workload.loaders > 0,
        "pin_memory": workload.device == "cuda",
    }
    train = DataLoader(
        ArrayDataset(train_images, train_labels, augmented), workload.batch_size, shuffle=True, **options
    )
    validation = DataLoader(ArrayDataset(validation_images, validation_labels, plain), 256, **options)

    module, clock = Classifier(workload), Clock()
    trainer = lightning.Trainer(
        max_epochs=workload.epochs,
        accelerator="gpu" if workload.device == "cuda" else "cpu",
        devices=1,
        precision="bf16-mixed" if workload.precision == "bf16" else "32-true",
        deterministic=workload.deterministic,
        callbacks=[clock],
        logger=False,
        enable_checkpointing=False,
        enable_progress_bar=False,
        enable_model_summary=False,
    )
    trainer.fit(module, train, validation)
    accuracy = float(trainer.callback_metrics["validation_accuracy"])
    Report(len(train_labels), clock.epoch_s, [], accuracy, num_parameters(module.network)).tell()


if __name__ == "__main__":
    main()
