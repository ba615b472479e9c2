"""Imports what the commands use, and then runs the installed command line in a fork for each line that it reads."""

from __future__ import annotations

import importlib
import json
import os
import runpy
import sys
from pathlib import Path

ROOMS = ("analyse", "app", "catalogue", "commands", "compare", "doctor", "power", "selfcheck")
HEAVY = ("torch", "torchvision", "cnnbench.data", "cnnbench.report", "cnnbench.train", "cnnbench_plugins")


def become(arguments: list[str], cwd: str, environment: dict[str, str], stdout: str, stderr: str) -> None:
    """Give this process what a shell gives to a command."""
    os.chdir(cwd)
    os.environ.clear()
    os.environ.update(environment)
    for number, path in enumerate((os.devnull, stdout, stderr)):
        file = os.open(path, os.O_RDONLY if number == 0 else os.O_WRONLY | os.O_CREAT | os.O_TRUNC)
        os.dup2(file, number)
        os.close(file)
    sys.argv = arguments


def serve() -> str | None:
    """Answer each request with its exit code; in the fork, return the script to run."""
    for line in sys.stdin:
        child = os.fork()
        if child == 0:
            request = json.loads(line)
            become(**request)
            return str(sys.argv[0])
        _, status = os.waitpid(child, 0)
        sys.stdout.write(f"{os.waitstatus_to_exitcode(status)}\n")
        sys.stdout.flush()
    return None


if __name__ == "__main__":
    for name in (*HEAVY, *(f"cnnbench.cli.{room}" for room in ROOMS)):
        importlib.import_module(name)
    script = serve()
    if script is not None:
        sys.path[0] = str(Path(script).parent)
        runpy.run_path(script, run_name="__main__")
