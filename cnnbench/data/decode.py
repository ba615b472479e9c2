"""Decode blocks of images: at first in this process, and in one for each core where there is enough to do.

Workers are forked. Where the images lie in arrays, workers share them; everything else that the images are made of goes
to a worker by pickling, so that nothing that two processes cannot share (an open file, whose position they would move
for each other) gets there. Images that cannot be pickled are decoded in this process. Workers write into the files
themselves, an image at a time: nobody holds more than one, and no mapped pages wait in memory to be written.
"""

from __future__ import annotations

import contextlib
import hashlib
import io
import multiprocessing
import os
import pickle
import signal
import time
from collections import deque
from dataclasses import dataclass, field
from multiprocessing.connection import wait
from typing import IO, TYPE_CHECKING, Any

import numpy as np

from cnnbench import cores
from cnnbench.data.blocks import FACTS
from cnnbench.data.checks import check_image, reading
from cnnbench.data.resize import resize_image
from cnnbench.errors import SetupError

if TYPE_CHECKING:
    from collections.abc import Callable, Generator, Iterator, Mapping, Sequence
    from multiprocessing.connection import Connection
    from multiprocessing.process import BaseProcess

    from numpy.typing import NDArray

    from cnnbench.data.blocks import Rows, Task
    from cnnbench.data.resize import Resize

_ALONE_S = 0.5
"""Starting workers costs some hundredths of a second; what is decoded by then is not worth one."""
_QUEUED = 2
"""Blocks that a worker has before it: the next one waits for it while this process flushes files."""


@dataclass(frozen=True, slots=True)
class Job:
    """What is decoded, and where it goes."""

    dataset_key: str
    images: Sequence[NDArray[np.uint8]] | NDArray[np.uint8]
    channels: int
    resize: Resize
    rows: Mapping[str, Rows]
    """Files of images, by name."""

    @contextlib.contextmanager
    def opened(self) -> Iterator[dict[str, IO[bytes]]]:
        """Open all files for writing; each process opens them for itself."""
        with contextlib.ExitStack() as stack:
            yield {name: stack.enter_context(rows.file.open("r+b")) for name, rows in self.rows.items()}

    def decode(
        self, task: Task, files: Mapping[str, IO[bytes]], image: Callable[[int], NDArray[np.uint8]]
    ) -> NDArray[Any]:
        """Decode a block into the files, and return the `FACTS` of its images.

        Raises:
            DataError: An image cannot be used.
            OSError: A file cannot be written.
        """
        facts = np.zeros(task.stop - task.start, FACTS)
        for row, position in enumerate(range(task.start, task.stop)):
            with reading(self.dataset_key):
                image_CHW = image(position)
            check_image(self.dataset_key, image_CHW, position, self.channels)
            digest = hashlib.sha256(repr(image_CHW.shape).encode())
            digest.update(np.ascontiguousarray(image_CHW).data)
            facts[row] = np.frombuffer(digest.digest(), np.uint8), image_CHW.shape[1:]
            for name in task.names:
                resized_CHW = resize_image(image_CHW, self.rows[name].shape[-1], self.resize)
                files[name].seek(self.rows[name].place(position))
                files[name].write(np.ascontiguousarray(resized_CHW).data)
        for name in task.names:
            files[name].flush()
        return facts


def decode_blocks(job: Job, tasks: Sequence[Task]) -> Generator[tuple[Task, NDArray[Any]]]:
    """Yield each block with the `FACTS` of its images as soon as its rows are written, in any order.

    Raises:
        DataError: An image cannot be used.
        SetupError: A worker was killed.
        OSError: A file cannot be written.
    """
    waiting, begun = deque(tasks), time.monotonic()
    may_fork = cores.may_fork()
    with job.opened() as files:
        while waiting:
            num_workers = min(cores.available_cores(), len(waiting))
            if may_fork and num_workers > 1 and time.monotonic() - begun >= _ALONE_S:
                crew = _Crew(job, files, waiting)
                yield from crew.run(num_workers)
                may_fork = False
            else:
                task = waiting.popleft()
                yield task, job.decode(task, files, job.images.__getitem__)


@dataclass(eq=False)
class _Worker:
    process: BaseProcess
    pipe: Connection[Any, Any]
    tasks: deque[Task] = field(default_factory=deque)


@dataclass
class _Crew:
    """Worker processes at their work; without a worker (the system may refuse them) it does nothing."""

    job: Job
    files: Mapping[str, IO[bytes]]
    waiting: deque[Task]
    workers: list[_Worker] = field(default_factory=list)

    def run(self, num_workers: int) -> Iterator[tuple[Task, NDArray[Any]]]:
        """Yield all blocks; no worker outlives this."""
        parcel = _Parcel.of(self.job.images)
        if parcel is None:
            return
        try:
            with contextlib.suppress(OSError):  # as many processes as the system grants
                for _ in range(num_workers):
                    self._start(parcel)
            for worker in self.workers * _QUEUED:
                self._give(worker)
            while busy := {worker.pipe: worker for worker in self.workers if worker.tasks}:
                for ready in wait(list(busy)):
                    yield self._taken(busy[ready])  # type: ignore[index]  # what comes out is what went in
        finally:
            self._stop()

    def _start(self, parcel: _Parcel) -> None:
        context = multiprocessing.get_context("fork")
        ours, theirs = context.Pipe()
        inherited = (ours, *(worker.pipe for worker in self.workers))
        process = context.Process(
            target=_worker_main, args=(theirs, inherited, os.getpid(), self.job, parcel), daemon=True
        )
        try:
            process.start()
        except OSError:
            ours.close()
            raise
        finally:
            theirs.close()
        self.workers.append(_Worker(process, ours))

    def _give(self, worker: _Worker) -> None:
        if self.waiting:
            worker.tasks.append(self.waiting.popleft())
            with contextlib.suppress(OSError):  # one that has died meanwhile is found when it is waited for
                worker.pipe.send(worker.tasks[-1])

    def _taken(self, worker: _Worker) -> tuple[Task, NDArray[Any]]:
        try:
            facts = worker.pipe.recv()
        except (EOFError, OSError):
            raise self._death(worker) from None
        task = worker.tasks.popleft()
        self._give(worker)
        if facts is None:  # decoded once more, here: it fails with the sentence, or the traceback, that belongs to it
            facts = self.job.decode(task, self.files, self.job.images.__getitem__)
        return task, facts

    def _death(self, worker: _Worker) -> SetupError:
        worker.process.join()
        code, task = worker.process.exitcode or 0, worker.tasks[0]
        why = f"was killed by {signal.Signals(-code).name}" if code < 0 else f"ended with exit status {code}"
        hint = "; the machine may have run out of memory" if -code == signal.SIGKILL else ""
        return SetupError(
            f"the process that decoded the images {task.start} to {task.stop - 1} of `{self.job.dataset_key}` "
            f"{why}{hint}; run again to go on, for what has been decoded is kept."
        )

    def _stop(self) -> None:
        for worker in self.workers:
            worker.process.kill()  # what it is at is marked nowhere
            worker.pipe.close()
        for worker in self.workers:
            worker.process.join()
        self.workers.clear()


def _worker_main(
    pipe: Connection[Any, Any], inherited: Sequence[Connection[Any, Any]], parent: int, job: Job, parcel: _Parcel
) -> None:
    """Decode blocks as they come through the pipe until the parent is gone; send their facts, None where one failed.

    Args:
        pipe: Tasks come in, facts go out.
        inherited: The parent's ends of pipes, which a fork has copied; while they are open here, nobody sees that the
            parent has gone.
        parent: Process id of the parent.
        job: What is decoded, but for its images.
        parcel: The images.
    """
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C goes to the whole group; the parent decides what it means
    signal.signal(signal.SIGTERM, signal.SIG_DFL)  # the parent's handler is not meant for us
    for connection in inherited:
        connection.close()
    images = parcel.unpacked()

    def image(position: int) -> NDArray[np.uint8]:
        image_CHW: NDArray[np.uint8] = images[position]
        if os.getppid() != parent:  # another process may have begun to write where this one would
            os._exit(1)
        return image_CHW

    with contextlib.suppress(EOFError, OSError), job.opened() as files:
        while True:
            task = pipe.recv()
            facts = None
            with contextlib.suppress(Exception):  # the parent comes upon it again
                facts = job.decode(task, files, image)
            pipe.send(facts)
    # Leave at once: what the parent had open at the fork (its locks, its display) is not ours to flush or release.
    os._exit(0)


@dataclass(frozen=True, slots=True)
class _Parcel:
    """Images as they are handed to forked workers: pickled, but for arrays, which a fork shares."""

    pickled: bytes
    arrays: list[NDArray[Any]]

    @classmethod
    def of(cls, images: Sequence[NDArray[np.uint8]] | NDArray[np.uint8]) -> _Parcel | None:
        """Return None for images that cannot be pickled."""
        arrays: list[NDArray[Any]] = []

        class Pickler(pickle.Pickler):
            def persistent_id(self, value: Any) -> int | None:
                if not isinstance(value, np.ndarray) or value.dtype.hasobject:
                    return None
                arrays.append(value)
                return len(arrays) - 1

        written = io.BytesIO()
        try:
            Pickler(written, protocol=5).dump(images)
        except Exception:  # noqa: BLE001 - objects refuse to be pickled in many ways
            return None
        return cls(written.getvalue(), arrays)

    def unpacked(self) -> Sequence[NDArray[np.uint8]]:
        """Return the images, in a worker."""
        arrays = self.arrays

        class Unpickler(pickle.Unpickler):
            def persistent_load(self, number: Any) -> NDArray[Any]:
                return arrays[int(number)]

        images: Sequence[NDArray[np.uint8]] = Unpickler(io.BytesIO(self.pickled)).load()
        return images
