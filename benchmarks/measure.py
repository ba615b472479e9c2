"""How the ways of `ways/` are run and timed: every one as its user would start it, in processes of its own."""

from __future__ import annotations

import importlib.util
import json
import os
import subprocess
import sys
import time
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field, replace
from pathlib import Path
from tempfile import TemporaryDirectory

import cnnbench

WAYS = Path(__file__).parent / "ways"
sys.path.insert(0, str(WAYS))

from workload import PARAMETERS, Report, Workload, write_data  # noqa: E402 - it lies among the scripts

LEARNING_RATES = (0.05, 0.02)
"""The two cells of the study."""
SCRIPTS = {
    "plain script": ("plain_script.py", "torchvision"),
    "Lightning": ("lightning_script.py", "lightning"),
    "fastai": ("fastai_script.py", "fastai"),
    "timm": ("timm_script.py", "timm"),
    "fast loop": ("fast_loop.py", "torch"),
    "loop on the device": ("device_loop.py", "torch"),
}
"""File, and the module that it cannot do without."""


class WayError(Exception):
    """A way did not do its work; the message is one sentence and the end of what it printed."""


@dataclass(frozen=True)
class Setting:
    """Data and training of one goal."""

    size_px: int
    network: str
    num_train: int
    num_validation: int
    epochs: int

    def workload(self, folder: Path) -> Workload:
        """Return its work, with the images written to ``folder``."""
        path = folder / f"{self.size_px}px-{self.num_train}.npz"
        if not path.exists():
            write_data(path, self.size_px, self.num_train, self.num_validation)
        return Workload(str(path), self.size_px, self.network, self.epochs)


@dataclass(frozen=True)
class Timed:
    """What running a way cost."""

    wall_s: float
    """From its start to its end."""
    cpu_s: float
    """Of all its processes: less at the mercy of what else runs on the machine."""
    reports: list[Report] = field(default_factory=list)
    last_result_s: float | None = None
    """From the start to the last trial's result, where more follows on it (analysis and report)."""

    @property
    def results_s(self) -> float:
        """Wall time to the last result."""
        return self.wall_s if self.last_result_s is None else self.last_result_s


# ------------------------------------------------------------------------------------------------ scripts


def missing(way: str) -> str | None:
    """Return a sentence where a way's library is not installed."""
    module = SCRIPTS[way][1]
    if importlib.util.find_spec(module) is None:
        return f"{way} is left out: `{module}` is not installed (pip install -e .[bench])."
    return None


def run_script(way: str, workload: Workload) -> Timed:
    """Train one network in a fresh process.

    Raises:
        WayError: The script failed.
    """
    with TemporaryDirectory() as folder:
        given = workload.write(Path(folder) / "workload.json")
        command = [sys.executable, str(WAYS / SCRIPTS[way][0]), str(given)]
        # Where two scripts run side by side, a thoughtful user gives each one thread, numpy's and OpenMP's included.
        threads = {"OMP_NUM_THREADS": str(workload.threads)} if workload.threads else {}
        wall_s, cpu_s, text = _run(way, command, threads, workload.device)
    return Timed(wall_s, cpu_s, [_checked(way, Report(**json.loads(text.splitlines()[-1])), workload)])


def _checked(way: str, report: Report, workload: Workload) -> Report:
    """Return the report of a way that trained the network it was to train, for as long as it was to."""
    wanted = PARAMETERS[workload.network]
    if report.parameters != wanted:
        raise WayError(f"{way} trained a network of {report.parameters} parameters; {wanted} were asked for.")
    if len(report.epoch_s) != workload.epochs:
        raise WayError(f"{way} trained {len(report.epoch_s)} epochs; {workload.epochs} were asked for.")
    return report


def script_study(way: str, workload: Workload, trials: int, side_by_side: int = 1) -> Timed:
    """Run a script once for each trial of the study, some at a time.

    Raises:
        WayError: The script failed.
    """
    if side_by_side > 1:
        workload = replace(workload, threads=1, loaders=0)
    todo = [
        replace(workload, lr=LEARNING_RATES[trial % len(LEARNING_RATES)], seed=trial // len(LEARNING_RATES))
        for trial in range(trials)
    ]
    started = time.perf_counter()
    with ThreadPoolExecutor(side_by_side) as pool:
        done = list(pool.map(lambda one: run_script(way, one), todo))
    wall_s = time.perf_counter() - started
    return Timed(wall_s, sum(one.cpu_s for one in done), [one.reports[0] for one in done])


def convolution_peak(precision: str, cores: int) -> float:
    """Return the FLOP/s that the best convolutions reach, one process of one thread on each core, all at once.

    Raises:
        WayError: The script failed.
    """
    command = [sys.executable, str(WAYS / "convolution_peak.py"), precision]
    threads = {"OMP_NUM_THREADS": "1"}
    with ThreadPoolExecutor(cores) as pool:
        texts = list(pool.map(lambda _: _run("convolution peak", command, threads)[2], range(cores)))
    return sum(float(text.splitlines()[-1]) for text in texts)


def _run(way: str, command: Sequence[str], variables: dict[str, str], device: str = "cpu") -> tuple[float, float, str]:
    """Return wall seconds, CPU seconds of the process and its children, and what it printed."""
    environment = {**os.environ, "PYTHONWARNINGS": "ignore", **variables}
    if device == "cpu":
        environment["CUDA_VISIBLE_DEVICES"] = ""
    with TemporaryDirectory() as folder:
        out, err = Path(folder) / "out", Path(folder) / "err"
        with out.open("wb") as to_out, err.open("wb") as to_err:
            started = time.perf_counter()
            process = subprocess.Popen(command, stdout=to_out, stderr=to_err, env=environment)
            _, status, usage = os.wait4(process.pid, 0)
            wall_s = time.perf_counter() - started
            process.returncode = os.waitstatus_to_exitcode(status)
        if process.returncode:
            tail = "\n".join((err.read_text("utf-8", "replace") or out.read_text("utf-8", "replace")).splitlines()[-8:])
            raise WayError(f"{way} ended with exit status {process.returncode}; the end of its output:\n{tail}")
        return wall_s, usage.ru_utime + usage.ru_stime, out.read_text("utf-8", "replace")


# ------------------------------------------------------------------------------------------------ cnnbench

_STUDY = """\
format = 1
name = "peers"
question = "How long does it take?"

[trial]
model = {{ use = "benchmark", name = "{network}" }}
dataset = {{ use = "array-file", path = "{data}" }}
split = {{ use = "predefined" }}
optimizer = {{ use = "sgd", lr = {lr}, momentum = 0.9 }}
batch_size = {batch_size}
precision = "{precision}"
compile = {compiled}
augmentation = [{{ use = "crop", share = 0.125 }}, "flip"]
{phases}
[design]
timing = "{timing}"
replicates = {replicates}
base_seed = {seed}
{factor}"""

_PHASE = """
[[trial.phases]]
name = "{name}"
epochs = {epochs}
size_px = {size_px}
"""

_LEARNING_RATE = f"""
[factors.lr]
path = "optimizer.lr"
levels = {list(LEARNING_RATES)}
"""

_REGIME = """
[factors.regime.levels]
throughout = {{ "phases.small.size_px" = {size_px} }}
progressive = {{}}
"""


def study_text(workload: Workload, replicates: int, phases: str = "", factor: str = "", timing: str = "shared") -> str:
    """Return the study file of a workload."""
    return _STUDY.format(
        network=workload.network,
        data=workload.data,
        lr=workload.lr,
        batch_size=workload.batch_size,
        precision=workload.precision,
        compiled=str(workload.is_compiled).lower(),
        phases=phases or _PHASE.format(name="main", epochs=workload.epochs, size_px=workload.size_px),
        timing=timing,
        replicates=replicates,
        seed=workload.seed,
        factor=factor,
    )


def cnnbench_study(workload: Workload, trials: int, workers: int | None) -> Timed:
    """Run the whole study with `cnnbench study`, nothing in its cache, as on its first day.

    ``workers``: None for as many as cnnbench finds useful.

    Raises:
        WayError: cnnbench failed, or a trial did.
    """
    text = study_text(workload, trials // len(LEARNING_RATES), factor=_LEARNING_RATE)
    return _run_trials(text, workload, trials, workers)


def cnnbench_trials(workload: Workload, trials: int, workers: int | None) -> Timed:
    """Run trials of one cell, ``workers`` at a time.

    Raises:
        WayError: As `cnnbench_study`.
    """
    return _run_trials(study_text(workload, trials), workload, trials, workers)


def _run_trials(text: str, workload: Workload, trials: int, workers: int | None) -> Timed:
    timed = _run_study(text, workers, trials, device=workload.device)
    for report in timed.reports:
        _checked("cnnbench", report, workload)
    return timed


@dataclass(frozen=True)
class Regime:
    """What a trial of progressive resizing, or one without it, cost."""

    name: str
    train_s: float
    train_cpu_s: float
    flops: float


def progressive(workload: Workload, small_px: int, replicates: int) -> list[Regime]:
    """Train half of the epochs at ``small_px``, or all at full size, in one study, one trial at a time.

    Raises:
        WayError: As `cnnbench_study`.
    """
    half = workload.epochs // 2
    phases = _PHASE.format(name="small", epochs=half, size_px=small_px) + _PHASE.format(
        name="large", epochs=workload.epochs - half, size_px=workload.size_px
    )
    text = study_text(workload, replicates, phases, _REGIME.format(size_px=workload.size_px), "exclusive")
    found: list[Regime] = []

    def read(run: Path) -> None:
        rows = cnnbench.open_study(run).trials.itertuples()
        found.extend(Regime(row.regime, row.train_s, row.train_cpu_s, row.flops) for row in rows)

    _run_study(text, 1, 2 * replicates, read)
    return found


def _run_study(
    text: str, workers: int | None, trials: int, also: Callable[[Path], None] | None = None, device: str = "cpu"
) -> Timed:
    with TemporaryDirectory() as name:
        folder = Path(name)
        study, runs = folder / "peers.toml", folder / "runs"
        study.write_text(text, "utf-8")
        command = [sys.executable, "-m", "cnnbench", "study", str(study), "--quiet", "--device", device]
        command += [*([] if workers is None else ["--workers", str(workers)]), "--runs-dir", str(runs)]
        # The plugin is installed as far as Python can tell: its folder has an entry point, and is on the path.
        path = os.pathsep.join([str(WAYS), *filter(None, [os.environ.get("PYTHONPATH")])])
        started = time.time()
        wall_s, cpu_s, text_out = _run(
            "cnnbench", command, {"PYTHONPATH": path, "CNNBENCH_CACHE": str(folder / "cache")}, device
        )
        run = runs / "peers"
        results = list((run / "trials").glob("*.h5"))
        if len(results) != trials:
            raise WayError(f"cnnbench finished {len(results)} of {trials} trials; it said:\n{text_out}")
        last_result_s = max(path.stat().st_mtime for path in results) - started
        if also is not None:
            also(run)
        return Timed(wall_s, cpu_s, _study_reports(run), last_result_s)


def _study_reports(run: Path) -> list[Report]:
    reports = []
    for trial in cnnbench.open_study(run).stored:
        num_epochs = len(trial.phase)
        reports.append(
            Report(
                num_train=trial.cost.train_images // num_epochs,
                epoch_s=trial.scalars["train_s"].tolist(),
                epoch_cpu_s=trial.scalars["train_cpu_s"].tolist(),
                accuracy=float(trial.scalars["validation_accuracy"][-1]),
                parameters=trial.cost.parameters,
                flops_per_image=trial.cost.flops / trial.cost.train_images,
            )
        )
    return reports
