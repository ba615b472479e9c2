"""A script with torchvision's transforms and a DataLoader, as tutorials teach it."""

from __future__ import annotations

import time

import torch
from array_dataset import ArrayDataset
from network import build_network, num_parameters
from torch import nn
from torch.utils.data import DataLoader
from torchvision import transforms
from workload import MEAN_C, STD_C, Report, Workload


def main() -> None:
    workload = Workload.given()
    torch.manual_seed(workload.seed)
    if workload.threads:
        torch.set_num_threads(workload.threads)
    if workload.deterministic:
        torch.use_deterministic_algorithms(True)
    train_images, train_labels, validation_images, validation_labels = workload.arrays()
    plain = transforms.Compose([transforms.ToTensor(), transforms.Normalize(MEAN_C, STD_C)])
    pad = workload.size_px // 8
    augmented = transforms.Compose(
        [
            transforms.RandomCrop(workload.size_px, padding=pad, padding_mode="reflect"),
            transforms.RandomHorizontalFlip(),
            transforms.ToTensor(),
            transforms.Normalize(MEAN_C, STD_C),
        ]
    )
    device = torch.device(workload.device)
    options = {
        "num_workers": workload.loaders,
        "persistent_workers": workload.loaders > 0,
        "pin_memory": device.type == "cuda",
    }
    train = DataLoader(
        ArrayDataset(train_images, train_labels, augmented), workload.batch_size, shuffle=True, **options
    )
    validation = DataLoader(ArrayDataset(validation_images, validation_labels, plain), 256, **options)

    network = build_network(workload.network).to(device)
    optimizer = torch.optim.SGD(network.parameters(), lr=workload.lr, momentum=0.9)
    criterion = nn.CrossEntropyLoss()
    autocast = torch.autocast(device.type, torch.bfloat16, enabled=workload.precision == "bf16")
    epoch_s, accuracy = [], 0.0
    for epoch in range(workload.epochs):
        network.train()
        started, running_loss = time.perf_counter(), 0.0
        for batch in train:
            images, labels = (part.to(device, non_blocking=True) for part in batch)
            optimizer.zero_grad()
            with autocast:
                loss = criterion(network(images), labels)
            loss.backward()
            optimizer.step()
            running_loss += loss.item()
        epoch_s.append(time.perf_counter() - started)

        network.eval()
        correct = 0
        with torch.no_grad(), autocast:
            for batch in validation:
                images, labels = (part.to(device, non_blocking=True) for part in batch)
                correct += int((network(images).argmax(1) == labels).sum())
        accuracy = correct / len(validation_labels)
        print(f"epoch {epoch}: loss {running_loss / len(train):.4f}, validation accuracy {accuracy:.4f}")
    Report(len(train_labels), epoch_s, [], accuracy, num_parameters(network)).tell()


if __name__ == "__main__":
    main()
