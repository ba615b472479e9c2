"""Feasibility probes, cached on disk: a study that was planned before is planned again without torch."""

from __future__ import annotations

import hashlib
import inspect
import json
import multiprocessing
import signal
import tempfile
from concurrent.futures import ProcessPoolExecutor
from dataclasses import asdict
from importlib.metadata import version
from pathlib import Path
from typing import TYPE_CHECKING

from cnnbench.cores import may_fork
from cnnbench.design import Feasibility, Probe, probe
from cnnbench.plugin import component_identity

if TYPE_CHECKING:
    from types import TracebackType
    from typing import Self


class CachedProber:
    """Answers a probe from the cache, or lets a child process try it.

    A child, because training a step starts threads inside torch, and a process that has them must not fork workers.
    """

    def __init__(self, cache_dir: Path) -> None:
        self._folder = cache_dir / "probes"
        self._pool: ProcessPoolExecutor | None = None

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._pool is not None:
            self._pool.shutdown()

    def __call__(self, request: Probe) -> Feasibility:
        """Return what trying this network at this size showed."""
        file = self._folder / f"{_key(request)}.json"
        try:
            return Feasibility(**json.loads(file.read_text("utf-8")))
        except (OSError, ValueError, TypeError):
            found = self._try(request)
        self._folder.mkdir(parents=True, exist_ok=True)
        with tempfile.NamedTemporaryFile("w", encoding="utf-8", dir=self._folder, delete=False) as temporary:
            temporary.write(json.dumps(asdict(found)))
        Path(temporary.name).replace(file)
        return found

    def _try(self, request: Probe) -> Feasibility:
        if self._pool is None:
            import torch  # noqa: F401, PLC0415 - imported before the fork; the workers need it anyway

            context = multiprocessing.get_context("fork" if may_fork() else "spawn")
            # Ctrl-C goes to the whole group, but it is the parent that answers.
            self._pool = ProcessPoolExecutor(1, context, signal.signal, (signal.SIGINT, signal.SIG_IGN))
        return self._pool.submit(probe, request).result()


def _key(request: Probe) -> str:
    """Name a probe by everything that its answer depends on, the source of the model's class included."""
    try:
        source = inspect.getsource(inspect.getmodule(type(request.model)) or type(request.model))
    except (OSError, TypeError):
        source = ""
    facts = [
        component_identity(request.model),
        *(request.channels, request.num_classes, request.largest_px, request.size_px, request.trainable),
        version("torch"),
        hashlib.sha256(source.encode()).hexdigest(),
    ]
    return hashlib.sha256(json.dumps(facts, sort_keys=True).encode()).hexdigest()[:32]
