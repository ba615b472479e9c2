"""Imports what the commands use, and then runs the installed command line in a fork for each line that it reads."""

from __future__ import annotations

import importlib
import json
import multiprocessing
import os
import runpy
import sys
from pathlib import Path

ROOMS = ("analyse", "app", "catalogue", "commands", "compare", "doctor", "power", "selfcheck", "speed")
HEAVY = ("torch", "torchvision", "cnnbench.data", "cnnbench.report", "cnnbench.train", "cnnbench_plugins")


def run(arguments: list[str], cwd: str, environment: dict[str, str], stdout: str, stderr: str) -> None:
    """Give this process what a shell gives to a command, and run the script."""
    os.chdir(cwd)
    os.environ.clear()
    os.environ.update(environment)
    for number, path in enumerate((os.devnull, stdout, stderr)):
        file = os.open(path, os.O_RDONLY if number == 0 else os.O_WRONLY | os.O_CREAT | os.O_TRUNC)
        os.dup2(file, number)
        os.close(file)
    sys.argv = arguments
    sys.path[0] = str(Path(arguments[0]).parent)
    runpy.run_path(arguments[0], run_name="__main__")


def serve() -> None:
    """Answer each request with its exit code."""
    # A forked process of multiprocessing does not tear its modules down at the end, which takes longer than most runs.
    context = multiprocessing.get_context("fork")
    for line in sys.stdin:
        process = context.Process(target=run, kwargs=json.loads(line))
        process.start()
        process.join()
        sys.stdout.write(f"{process.exitcode}\n")
        sys.stdout.flush()


if __name__ == "__main__":
    for name in (*HEAVY, *(f"cnnbench.cli.{room}" for room in ROOMS)):
        importlib.import_module(name)
    serve()
