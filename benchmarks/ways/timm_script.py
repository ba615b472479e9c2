"""timm: its loader, its optimizer factory, and the loop of its training script."""

from __future__ import annotations

import time

import torch
from array_dataset import ArrayDataset
from network import build_network, num_parameters
from timm.data import create_loader
from timm.optim import create_optimizer_v2
from timm.utils import AverageMeter, accuracy, random_seed
from torch import nn
from workload import MEAN_C, STD_C, Report, Workload


def main() -> None:
    workload = Workload.given()
    random_seed(workload.seed)
    if workload.threads:
        torch.set_num_threads(workload.threads)
    if workload.deterministic:
        torch.use_deterministic_algorithms(True)
    train_images, train_labels, validation_images, validation_labels = workload.arrays()
    shared = {
        "input_size": (3, workload.size_px, workload.size_px),
        "use_prefetcher": workload.device == "cuda",
        "device": torch.device(workload.device),
        "mean": MEAN_C,
        "std": STD_C,
        "num_workers": workload.loaders,
        "persistent_workers": workload.loaders > 0,
        "pin_memory": workload.device == "cuda",
    }
    train = create_loader(
        ArrayDataset(train_images, train_labels),
        batch_size=workload.batch_size,
        is_training=True,
        scale=(0.8, 1.0),
        hflip=0.5,
        color_jitter=None,
        **shared,
    )
    validation = create_loader(
        ArrayDataset(validation_images, validation_labels), batch_size=256, is_training=False, crop_pct=1.0, **shared
    )

    network = build_network(workload.network).to(workload.device)
    optimizer = create_optimizer_v2(network, opt="momentum", lr=workload.lr, momentum=0.9, weight_decay=0.0)
    train_loss, validate_loss = nn.CrossEntropyLoss(), nn.CrossEntropyLoss()
    autocast = torch.autocast(workload.device, torch.bfloat16, enabled=workload.precision == "bf16")
    epoch_s, top1 = [], AverageMeter()
    for _ in range(workload.epochs):
        started = time.perf_counter()
        losses = AverageMeter()
        network.train()
        for images, labels in train:
            with autocast:
                loss = train_loss(network(images), labels)
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
            losses.update(loss.item(), images.size(0))
        epoch_s.append(time.perf_counter() - started)

        losses, top1 = AverageMeter(), AverageMeter()
        network.eval()
        with torch.no_grad():
            for images, labels in validation:
                with autocast:
                    output = network(images)
                    loss = validate_loss(output, labels)
                hits1, _ = accuracy(output, labels, topk=(1, 5))
                losses.update(loss.item(), images.size(0))
                top1.update(hits1.item(), output.size(0))
    num_train = len(train) * workload.batch_size  # its loader leaves out a last batch that is not full
    Report(num_train, epoch_s, [], top1.avg / 100, num_parameters(network)).tell()


if __name__ == "__main__":
    main()
