"""Data far larger than memory: what a process holds does not grow with them, neither in decoding nor in training.

Each test runs in a process of its own, because the peak of a process that has run other tests says nothing.
"""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from cnnbench.data import PreparedDataset
from cnnbench.types import DatasetInfo

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="memory is read from /proc")

DECODE = """
import json, os, sys
from pathlib import Path
from unittest import mock

import numpy as np

from cnnbench.data import prepare
from cnnbench.plugin import Dataset, ImageArrays


def peak_mb():
    # The peak that getrusage tells begins with that of the process that started this one.
    lines = Path("/proc/self/status").read_text().splitlines()
    return next(int(line.split()[1]) for line in lines if line.startswith("VmHWM")) / 1024


class Lazy:
    def __len__(self):
        return 384

    def __getitem__(self, position):
        (Path(sys.argv[1]) / f"peak-{os.getpid()}").write_text(str(peak_mb()))
        return np.full((3, 512, 512), position % 256, np.uint8)


class Many(Dataset):
    key = "many"

    def load(self, cache):
        return ImageArrays(Lazy(), np.arange(384) % 2, ("a", "b"))


before_mb = peak_mb()
with (
    mock.patch("cnnbench.cores.available_cores", return_value=int(sys.argv[2])),
    mock.patch("cnnbench.data.decode._ALONE_S", 0),
):
    prepared = prepare(Many(), [512], "crop", Path(sys.argv[1]))
written_mb = sum(file.stat().st_size for file in prepared.folder.iterdir()) / 2**20
peaks_mb = [float(file.read_text()) for file in Path(sys.argv[1]).glob("peak-*")]
print(json.dumps([written_mb, peak_mb() - before_mb, max(peaks_mb) - before_mb, len(peaks_mb)]))
"""

TRAIN = """
import json, sys
from pathlib import Path

import numpy as np
import torch

from cnnbench.data import PreparedDataset
from cnnbench.data.batches import Normalization, TrainingData
from cnnbench.types import DatasetInfo


def kilobytes(kind):
    lines = Path("/proc/self/status").read_text().splitlines()
    return next(int(line.split()[1]) for line in lines if line.startswith(kind))


num = int(sys.argv[2])
info = DatasetInfo("f" * 64, 3, ("a", "b"), (num - 1, 1), num, 64, 64, has_splits=False, has_test_split=False)
images_NCHW = PreparedDataset(info, Path(sys.argv[1])).images_NCHW(64, "crop")
train = np.concatenate([np.arange(2048) + begin for begin in (0, num // 2, num - 2048)])
label_N = np.zeros(num, np.int64)


def read(indices):
    normalization = Normalization.of("train", images_NCHW, indices)
    data = TrainingData(images_NCHW, label_N, normalization, torch.device("cpu"))
    batches = data.training_batches(indices, 16, (1, 2, 0), [])
    return data, sum(images_BCHW.numel() for images_BCHW, _ in batches) / 2**20


read(train[:64])  # what the first batches bring with them stays
before_mb = kilobytes("RssAnon") / 1024
data, read_mb = read(train)
shares = images_NCHW.__array_interface__["data"][0] == data.images_NCHW.data_ptr()
print(json.dumps([images_NCHW.nbytes / 2**20, read_mb, kilobytes("RssAnon") / 1024 - before_mb, shares]))
"""


def told_by(script: str, *arguments: object) -> list[float]:
    """Return what a script prints at its end."""
    command = [sys.executable, "-W", "error", "-c", script, *map(str, arguments)]
    done = subprocess.run(command, check=True, capture_output=True, text=True)
    told: list[float] = json.loads(done.stdout)
    return told


@pytest.mark.parametrize("cores", [1, 2])
def test_decoding_holds_an_image_at_a_time_in_every_process(tmp_path: Path, cores: int):
    written_mb, grown_mb, worker_mb, num_processes = told_by(DECODE, tmp_path, cores)

    assert written_mb > 280
    assert grown_mb < 40
    assert worker_mb < 40
    assert num_processes == (1 if cores == 1 else 3)


def test_training_reads_a_file_larger_than_memory_batch_by_batch(tmp_path: Path):
    """A file of holes of 500 GB: a mapping that the kernel would have to promise memory for is refused."""
    num, size_bytes = 40_000_000, 3 * 64 * 64
    file = tmp_path / "images-crop-64.npy"
    with file.open("wb") as stream:
        header = {"descr": "|u1", "fortran_order": False, "shape": (num, 3, 64, 64)}
        np.lib.format.write_array_header_1_0(stream, header)
        try:
            stream.truncate(stream.tell() + num * size_bytes)
        except OSError:
            pytest.skip("the file system has no files of that size")

    mapped_mb, read_mb, grown_mb, shares = told_by(TRAIN, tmp_path, num)

    assert mapped_mb > 400_000
    assert read_mb == 6144 * size_bytes / 2**20
    assert shares
    assert grown_mb < read_mb / 2


def test_prepared_images_cannot_be_written_to(tmp_path: Path):
    np.save(tmp_path / "images-crop-2.npy", np.zeros((3, 1, 2, 2), np.uint8))
    info = DatasetInfo("f" * 64, 1, ("a", "b"), (2, 1), 3, 2, 2, has_splits=False, has_test_split=False)
    images_NCHW = PreparedDataset(info, tmp_path).images_NCHW(2, "crop")

    with pytest.raises(ValueError, match="read-only"):
        images_NCHW[0] = 1
