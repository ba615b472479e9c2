"""The benchmarks against other ways do the same work everywhere, and say so where one does not."""

from __future__ import annotations

import os
import sys
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path
from types import ModuleType

import numpy as np
import pytest
import torch
from scipy import stats

BENCHMARKS = Path(__file__).parent.parent / "benchmarks"
FOLDERS = (str(BENCHMARKS), str(BENCHMARKS / "ways"))


@pytest.fixture
def measure(monkeypatch: pytest.MonkeyPatch) -> ModuleType:
    import cnnbench

    monkeypatch.setattr(sys, "path", [*FOLDERS, *sys.path])
    # Scripts run in processes of their own: they shall find this tree, however it was found here.
    roots = [str(Path(cnnbench.__file__).parent.parent), str(BENCHMARKS.parent / "plugins")]
    monkeypatch.setenv("PYTHONPATH", os.pathsep.join([*roots, os.environ.get("PYTHONPATH", "")]))
    import measure

    return measure


def test_each_network_has_the_parameters_that_every_way_must_report(measure: ModuleType):
    import goals
    from network import build_network, num_parameters

    assert {net.network for net in (goals.NET, goals.SMALL_NET, *goals.NETS, *goals.PEAK_NETS)} == {*measure.PARAMETERS}
    for name, parameters in measure.PARAMETERS.items():
        network = build_network(name)
        assert num_parameters(network) == parameters
        assert network(torch.zeros(2, 3, 32, 32)).shape == (2, 10)


@pytest.mark.usefixtures("measure")
def test_the_plugin_builds_the_network_of_the_scripts():
    from cnnbench_benchmark import Network
    from network import build_network

    networks, name = [], "three-blocks-16"
    for build in (lambda: Network(name=name).build((3, 32, 32), 10), lambda: build_network(name)):
        torch.manual_seed(0)
        networks.append(build().state_dict())
    ours, theirs = networks
    assert ours.keys() == theirs.keys()
    assert all(torch.equal(ours[name], theirs[name]) for name in ours)


@pytest.mark.usefixtures("measure")
def test_a_hand_written_crop_is_one_of_the_image_or_its_mirror():
    import numpy as np
    from fast_loop import Crops

    images_NHWC = np.random.default_rng(0).integers(0, 256, (1, 8, 8, 3), dtype=np.uint8)
    crops = Crops(images_NHWC, 8, 200)
    taken_BHWC = crops.take(np.zeros(200, np.int64), np.random.default_rng(1))
    padded_HWC = np.pad(images_NHWC[0], ((1, 1), (1, 1), (0, 0)), mode="reflect")
    cut = {
        side[top : top + 8, left : left + 8].tobytes()
        for side in (padded_HWC, padded_HWC[:, ::-1])
        for top in range(3)
        for left in range(3)
    }
    assert {taken.tobytes() for taken in taken_BHWC} == cut


def test_a_way_that_trains_another_network_or_for_another_time_is_found(measure: ModuleType):
    workload = measure.Workload("data.npz", 32, "three-blocks-16", 2)
    report = measure.Report(10, [1.0, 1.0], [], 0.5, measure.PARAMETERS["three-blocks-16"])
    assert measure._checked("this", report, workload) is report
    with pytest.raises(measure.WayError, match="a network of 3 parameters; 24346 were asked for"):
        measure._checked("this", replace(report, parameters=3), workload)
    with pytest.raises(measure.WayError, match="1 epochs; 2 were asked for"):
        measure._checked("this", replace(report, epoch_s=[1.0]), workload)


def test_a_way_that_fails_is_left_out_with_the_end_of_its_output(measure: ModuleType, capsys: pytest.CaptureFixture):
    import rounds

    timed = measure.Timed(1.0, 1.0)

    def fails():
        return measure._run("broken", [sys.executable, "-c", "raise SystemExit('it broke')"], {})

    found = rounds.in_turn({"good": lambda: timed, "broken": fails}, 2)
    assert found == {"good": [timed, timed]}
    assert "broken is left out: broken ended with exit status 1" in capsys.readouterr().out


@pytest.mark.usefixtures("measure")
def test_ratios_are_taken_within_rounds():
    import rounds

    assert rounds.ratios([2.0, 30.0, 12.0], [1.0, 10.0, 3.0]) == (3.0, 2.0, 4.0)


@pytest.mark.usefixtures("measure")
def test_a_window_of_the_loop_on_the_device_is_one_of_the_image_or_its_mirror():
    from device_loop import Crops

    images_NCHW = torch.randint(256, (2, 3, 8, 8), dtype=torch.uint8)
    crops = Crops(images_NCHW)
    taken_BCHW = crops.take(crops.places(torch.ones(300, dtype=torch.int64)))
    padded_CHW = torch.nn.functional.pad(images_NCHW[1:], (1, 1, 1, 1), mode="reflect")[0]
    cut = {
        side[:, top : top + 8, left : left + 8].numpy().tobytes()
        for side in (padded_CHW, padded_CHW.flip(2))
        for top in range(3)
        for left in range(3)
    }
    assert {taken.numpy().tobytes() for taken in taken_BCHW} == cut


@pytest.mark.slow
def test_what_is_measured_on_a_gpu_runs_on_a_cpu(
    measure: ModuleType, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture
):
    import goals

    monkeypatch.setattr(goals, "DEVICE_NET", measure.Setting(16, "three-blocks-16", 256, 64, 2))
    monkeypatch.setattr(goals, "SMALL_NET", measure.Setting(16, "three-blocks-16", 256, 64, 1))
    goals.on_device(tmp_path, ["plain script"], 2, 1, "cpu")
    lines = capsys.readouterr().out.splitlines()
    for name in ("plain ", "compiled ", "plain script", "cnnbench"):
        assert any(line.strip().startswith(name) for line in lines), (name, lines)


@pytest.mark.slow
def test_scripts_and_study_train_on_the_same_images(measure: ModuleType, tmp_path: Path):
    workload = measure.Setting(16, "three-blocks-16", 256, 64, 3).workload(tmp_path)
    for way in ("plain script", "fast loop", "loop on the device"):
        (report,) = measure.run_script(way, replace(workload, loaders=0, threads=1)).reports
        assert report.num_train == 256
        assert 0.1 < report.accuracy <= 1
    timed = measure.cnnbench_study(workload, 4, 2)
    assert [report.num_train for report in timed.reports] == [256] * 4
    assert timed.last_result_s < timed.wall_s
    regimes = measure.progressive(replace(workload, epochs=2), 8, 1)
    flops = {regime.name: regime.flops for regime in regimes}
    assert flops["progressive"] < 0.7 * flops["throughout"]


@pytest.mark.slow
def test_speed_costs_no_accuracy(measure: ModuleType, tmp_path: Path):
    """40 seeds each way: final accuracies have one distribution, and means that differ by less than 5 points."""
    num_seeds, cores = 40, len(os.sched_getaffinity(0))
    workload = measure.Setting(32, "three-blocks-16", 1024, 1000, 2).workload(tmp_path)
    script = replace(workload, threads=1, loaders=0)
    with ThreadPoolExecutor(cores) as pool:
        runs = pool.map(lambda seed: measure.run_script("plain script", replace(script, seed=seed)), range(num_seeds))
        their_N = np.array([run.reports[0].accuracy for run in runs])
    our_N = np.array([report.accuracy for report in measure.cnnbench_trials(workload, num_seeds, cores).reports])
    assert len(our_N) == len(their_N) == num_seeds
    assert 0.3 < their_N.mean() < 0.97  # neither chance nor a ceiling
    assert stats.ks_2samp(our_N, their_N).pvalue > 0.01
    interval = stats.ttest_ind(our_N, their_N, equal_var=False).confidence_interval(0.9)
    assert interval.low > -0.05
    assert interval.high < 0.05
