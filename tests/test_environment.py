from __future__ import annotations

import builtins
import ctypes
import os
import platform
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch

from cnnbench import environment
from cnnbench.environment import check_torch, choose_devices, comparability, describe, tune_process
from cnnbench.errors import SetupError

# ------------------------------------------------------------------------------------------------ process


@pytest.fixture
def kept_environ(monkeypatch: pytest.MonkeyPatch) -> dict[str, str]:
    """The environment's variables, for a test to change."""
    monkeypatch.setattr(os, "environ", {"OMP_NUM_THREADS": "3"})
    return os.environ  # type: ignore[return-value]  # replaced above


def test_tuning_sets_what_the_user_has_not_set(kept_environ: dict[str, str], monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(platform, "libc_ver", lambda: ("", ""))
    tune_process()
    kept_environ.pop("PYTEST_CURRENT_TEST", None)
    assert kept_environ == {
        "OMP_NUM_THREADS": "3",
        "OPENBLAS_NUM_THREADS": "1",
        "MKL_NUM_THREADS": "1",
        "CUBLAS_WORKSPACE_CONFIG": ":4096:8",
    }


def test_tuning_keeps_freed_memory_where_the_c_library_is_glibc(
    kept_environ: dict[str, str], monkeypatch: pytest.MonkeyPatch
):
    told: list[tuple[int, int]] = []
    library = type("Library", (), {"mallopt": lambda _, option, value: told.append((option, value))})
    monkeypatch.setattr(platform, "libc_ver", lambda: ("glibc", "2.36"))
    monkeypatch.setattr(ctypes, "CDLL", lambda _: library())
    tune_process()
    assert dict(told) == {-4: 0, -1: 2**31 - 1, -2: 64 * 2**20}
    assert kept_environ["MKL_NUM_THREADS"] == "1"


# ------------------------------------------------------------------------------------------------ torch


def break_import(monkeypatch: pytest.MonkeyPatch, name: str, error: Exception) -> None:
    """Let the import of a module raise."""
    real: Callable[..., Any] = builtins.__import__

    def broken(module: str, *arguments: Any, **options: Any) -> Any:
        if module == name:
            raise error
        return real(module, *arguments, **options)

    monkeypatch.delitem(sys.modules, name, raising=False)
    monkeypatch.setattr(builtins, "__import__", broken)


def test_an_installation_that_fits_together_passes():
    check_torch()


def test_torch_that_cannot_be_imported_is_one_sentence(monkeypatch: pytest.MonkeyPatch):
    break_import(monkeypatch, "torch", ImportError("No module named 'torch'"))
    with pytest.raises(SetupError) as caught:
        check_torch()
    assert str(caught.value) == (
        "torch cannot be imported (No module named 'torch'); install it with `pip install torch torchvision`."
    )


@pytest.mark.parametrize(
    "error",
    [
        RuntimeError("operator torchvision::nms does not exist\nmore"),
        ImportError("operator torchvision::nms does not exist"),
        AttributeError("operator torchvision::nms does not exist"),
        OSError("operator torchvision::nms does not exist."),
    ],
)
def test_a_torchvision_of_another_build_is_told_with_what_to_install(monkeypatch: pytest.MonkeyPatch, error: Exception):
    monkeypatch.setattr(torch, "__version__", "2.11.0+cpu")
    break_import(monkeypatch, "torchvision.ops", error)
    with pytest.raises(SetupError) as caught:
        check_torch()
    assert str(caught.value) == (
        "torch 2.11.0+cpu and the installed torchvision do not fit together (operator torchvision::nms does not "
        "exist); install both from one source with `pip install --force-reinstall torch torchvision`."
    )


def test_a_missing_torchvision_is_told_as_missing(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(torch, "__version__", "2.11.0")
    break_import(monkeypatch, "torchvision.ops", ModuleNotFoundError("No module named 'torchvision'"))
    with pytest.raises(SetupError) as caught:
        check_torch()
    assert str(caught.value) == (
        "torchvision is not there (No module named 'torchvision'); install it with `pip install torchvision`."
    )


# ------------------------------------------------------------------------------------------------ devices


@pytest.mark.parametrize(
    ("wanted", "driver", "count", "devices"),
    [
        ("cpu", True, 2, ["cpu"]),
        ("auto", False, 2, ["cpu"]),
        ("auto", True, 0, ["cpu"]),
        ("auto", True, 2, ["cuda:0", "cuda:1"]),
        ("cuda", True, 2, ["cuda:0", "cuda:1"]),
        ("cuda:1", True, 2, ["cuda:1"]),
        ("cuda:1, cuda:0", True, 3, ["cuda:1", "cuda:0"]),
        ("0,2", True, 3, ["cuda:0", "cuda:2"]),
        ("1", True, 2, ["cuda:1"]),
    ],
)
def test_devices_are_chosen_as_wanted(
    monkeypatch: pytest.MonkeyPatch, wanted: str, driver: object, count: int, devices: list[str]
):
    monkeypatch.setattr(environment, "_has_gpu_driver", lambda: driver)
    monkeypatch.setattr(torch.cuda, "device_count", lambda: count)
    assert choose_devices(wanted) == devices


@pytest.mark.parametrize(
    ("wanted", "count", "there"),
    [("cuda", 0, "cpu"), ("cuda:1", 1, "cpu, cuda:0"), ("gpu", 0, "cpu"), ("", 0, "cpu")],
)
def test_a_device_that_is_not_there_is_told_with_those_that_are(
    monkeypatch: pytest.MonkeyPatch, wanted: str, count: int, there: str
):
    monkeypatch.setattr(torch.cuda, "device_count", lambda: count)
    with pytest.raises(SetupError) as caught:
        choose_devices(wanted)
    assert str(caught.value) == f"there is no device `{wanted}` on this machine; there is {there}."


@pytest.mark.parametrize(
    ("wanted", "sentence"),
    [
        ("0,2", "there is no device `cuda:2` on this machine; there is cpu, cuda:0, cuda:1."),
        ("cpu,0", "`cpu` cannot stand in a list of devices; name them one by one: cpu, cuda:0, cuda:1."),
        ("0,cuda:0", "the device `cuda:0` is named twice; for several workers on it use --workers."),
        ("0,", "there is no device `` on this machine; there is cpu, cuda:0, cuda:1."),
    ],
)
def test_a_list_of_devices_that_cannot_be_used_is_refused(monkeypatch: pytest.MonkeyPatch, wanted: str, sentence: str):
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 2)
    with pytest.raises(SetupError) as caught:
        choose_devices(wanted)
    assert str(caught.value) == sentence


@pytest.mark.parametrize("found", ["libcuda.so.1", "libamdhip64.so", "nvcuda.dll", None])
def test_a_driver_is_looked_for_without_torch(monkeypatch: pytest.MonkeyPatch, found: str | None):
    def load(library: str) -> object:
        if library != found:
            raise OSError(library)
        return object()

    monkeypatch.setattr(ctypes, "CDLL", load)
    assert environment._has_gpu_driver() == (found is not None)


# ------------------------------------------------------------------------------------------------ provenance


def test_trials_are_comparable_where_hardware_precision_and_libraries_agree():
    facts = comparability("cpu", "fp32")
    assert set(facts) == {
        "device",
        "device_type",
        "precision",
        "torch",
        "cpu_capability",
        "threads",
        "deterministic",
    }
    assert (facts["device_type"], facts["precision"], facts["torch"]) == ("cpu", "fp32", torch.__version__)
    assert facts == comparability("cpu", "fp32")
    assert facts != comparability("cpu", "bf16")


def test_devices_of_the_same_make_are_comparable(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(torch.cuda, "get_device_name", lambda device: {"cuda:0": "H", "cuda:1": "H"}[device])
    assert comparability("cuda:0", "fp32") == comparability("cuda:1", "fp32")
    assert comparability("cuda:0", "fp32")["device"] == "H"


def git(folder: Path, *arguments: str) -> str:
    """Run git as somebody."""
    identity = ["-c", "user.name=a", "-c", "user.email=a@example.org", "-c", "commit.gpgsign=false"]
    command = ["git", "-C", str(folder), *identity, *arguments]
    done = subprocess.run(command, check=True, capture_output=True, text=True)
    return done.stdout.strip()


@pytest.fixture
def repository(tmp_path: Path) -> Path:
    """A repository with one committed file."""
    git(tmp_path, "init", "--quiet")
    (tmp_path / "code.txt").write_bytes(b"first\n")
    git(tmp_path, "add", ".")
    git(tmp_path, "commit", "--quiet", "-m", "first")
    return tmp_path


def test_a_clean_repository_is_its_commit(repository: Path):
    state = describe(repository)["git"]
    assert (state["commit"], state["dirty"]) == (git(repository, "rev-parse", "HEAD"), False)


@pytest.mark.parametrize("content", [b"second\n", b"\xff\xfe no text in UTF-8\n", b"\x00\x01 no text at all\n"])
def test_a_changed_file_is_an_uncommitted_change(repository: Path, content: bytes):
    clean = describe(repository)["git"]
    (repository / "code.txt").write_bytes(content)
    changed = describe(repository)["git"]
    assert changed["dirty"] is True
    assert changed["commit"] == clean["commit"]
    assert changed["diff_sha256"] != clean["diff_sha256"]


def test_a_new_file_is_an_uncommitted_change(repository: Path):
    (repository / "new.txt").write_text("new", "utf-8")
    assert describe(repository)["git"]["dirty"] is True


def test_a_folder_outside_of_any_repository_has_no_git_state(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setenv("GIT_CEILING_DIRECTORIES", str(tmp_path.parent))
    assert describe(tmp_path)["git"] is None


def test_a_machine_without_git_has_no_git_state(repository: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setenv("PATH", "")
    assert describe(repository)["git"] is None


def test_the_provenance_names_python_packages_and_machine(tmp_path: Path):
    described = describe(tmp_path)
    assert described["python"] == platform.python_version()
    assert described["packages"]["numpy"] == __import__("numpy").__version__
    assert list(described["packages"]) == sorted(described["packages"])
    assert described["cores"] == os.cpu_count()
