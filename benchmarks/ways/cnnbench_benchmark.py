"""The network and the images of the benchmarks as a plugin of cnnbench, as a user would write it."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from cnnbench.plugin import Dataset, ImageArrays, Model, hookimpl


class Network(Model):
    """The network of the other ways."""

    key = "benchmark"
    name: str = "three-blocks-32"

    def build(self, shape_CHW, num_classes):
        from network import build_network

        return build_network(self.name, num_classes)


class ArrayFile(Dataset):
    """The images of an .npz file, with its own division."""

    key = "array-file"
    path: str

    def load(self, cache: Path) -> ImageArrays:
        with np.load(self.path) as file:
            images_NHWC = np.concatenate([file["train_images"], file["validation_images"]])
            labels = (file["train_labels"], file["validation_labels"])
        return ImageArrays(
            images=np.ascontiguousarray(images_NHWC.transpose(0, 3, 1, 2)),
            label_N=np.concatenate(labels),
            class_names=tuple(f"class {number}" for number in range(10)),
            split_N=np.repeat(["train", "validation"], [len(part) for part in labels]),
        )


@hookimpl
def cnnbench_models():
    return [Network]


@hookimpl
def cnnbench_datasets():
    return [ArrayFile]
