"""A loop written by hand that keeps everything on the device: the reference of the limit on a GPU.

Padded uint8 images and their mirrors lie on the device; crops are windows of them, gathered a batch at a time by draws
for the whole epoch; channels-last, a fused optimizer, compiled and recorded (CUDA graphs) where that is asked for;
nothing is read back within an epoch. Deterministic, as cnnbench is. It runs on a CPU, too, where it is tried out.
"""

from __future__ import annotations

import os
import time

os.environ.setdefault("CUBLAS_WORKSPACE_CONFIG", ":4096:8")  # deterministic matrix products on CUDA

import torch
from network import build_network, num_parameters
from torch.nn import functional
from workload import MEAN_C, STD_C, Report, Workload


class Crops:
    """Shifted and mirrored images on a device."""

    def __init__(self, images_NCHW: torch.Tensor) -> None:
        self.num, self.channels, _, self.size_px = images_NCHW.shape
        self.pad = self.size_px // 8
        padded_NCHW = functional.pad(images_NCHW, (self.pad,) * 4, mode="reflect")
        both_MCHW = torch.cat([padded_NCHW, padded_NCHW.flip(3)]).contiguous()
        self.per_image, per_channel, self.per_row, _ = both_MCHW.stride()
        last = (self.channels - 1) * per_channel + (self.size_px - 1) * self.per_row + self.size_px - 1
        size = (both_MCHW.numel() - last, self.channels, self.size_px, self.size_px)
        self.windows_PCHW = both_MCHW.as_strided(size, (1, per_channel, self.per_row, 1))

    def places(self, order_N: torch.Tensor) -> torch.Tensor:
        """Draw the place of each image's window, for a whole epoch."""
        num, reach, device = len(order_N), 2 * self.pad + 1, order_N.device
        top_N, left_N = torch.randint(reach, (2, num), device=device)
        side_N = torch.randint(2, (num,), device=device)
        return (order_N + side_N * self.num) * self.per_image + top_N * self.per_row + left_N

    def take(self, place_B: torch.Tensor) -> torch.Tensor:
        """Return the images, uint8."""
        return self.windows_PCHW.index_select(0, place_B)


def main() -> None:
    workload = Workload.given()
    device = torch.device(workload.device)
    torch.set_num_threads(1)
    torch.use_deterministic_algorithms(True)
    torch.utils.deterministic.fill_uninitialized_memory = False
    torch.manual_seed(workload.seed)
    train_images, train_labels, validation_images, validation_labels = workload.arrays()
    mean_C, std_C = (255 * torch.tensor(values, device=device).view(1, 3, 1, 1) for values in (MEAN_C, STD_C))
    images, held_out = (
        torch.from_numpy(part).permute(0, 3, 1, 2).contiguous().to(device) for part in (train_images, validation_images)
    )
    labels_N, held_out_N = (torch.from_numpy(part).to(device) for part in (train_labels, validation_labels))
    crops = Crops(images)

    network = build_network(workload.network).to(device, memory_format=torch.channels_last)
    mode = "reduce-overhead" if device.type == "cuda" else "default"
    trained = torch.compile(network, mode=mode, dynamic=False) if workload.is_compiled else network
    optimizer = torch.optim.SGD(network.parameters(), lr=workload.lr, momentum=0.9, fused=True)
    is_bf16 = workload.precision == "bf16"

    def logits(model: torch.nn.Module, images_BCHW: torch.Tensor) -> torch.Tensor:
        inputs_BCHW = images_BCHW.float().sub_(mean_C).div_(std_C).contiguous(memory_format=torch.channels_last)
        with torch.autocast(device.type, torch.bfloat16, enabled=is_bf16):
            return model(inputs_BCHW)

    epoch_s, accuracy = [], 0.0
    for _ in range(workload.epochs):
        network.train()
        started = time.perf_counter()
        order_N, loss_sum = torch.randperm(len(labels_N), device=device), torch.zeros((), device=device)
        batches = zip(
            crops.places(order_N).split(workload.batch_size),
            labels_N.index_select(0, order_N).split(workload.batch_size),
            strict=True,
        )
        for place_B, label_B in batches:
            optimizer.zero_grad(set_to_none=True)
            loss = functional.cross_entropy(logits(trained, crops.take(place_B)).float(), label_B)
            loss.backward()
            optimizer.step()
            loss_sum += loss.detach()
        float(loss_sum)  # waits for the device
        epoch_s.append(time.perf_counter() - started)
        network.eval()
        with torch.no_grad():
            found = torch.cat([logits(network, part).argmax(1) for part in held_out.split(256)])
        accuracy = float((found == held_out_N).float().mean())
    Report(len(labels_N), epoch_s, [], accuracy, num_parameters(network)).tell()


if __name__ == "__main__":
    main()
