"""The installed command line: started from nothing, or in processes that have the imports behind them."""

from __future__ import annotations

import json
import os
import select
import signal
import subprocess
import sys
from collections.abc import Iterator, Mapping
from pathlib import Path
from subprocess import CompletedProcess

import pytest

COMMAND = str(Path(sys.executable).with_name("cnnbench"))
TIMEOUT_S = 300


class Warm:
    """Runs the installed command line in processes of its own, without the seconds that importing torch takes.

    A server imports what the commands use, and forks for each run. Each has its own folder, environment, streams and
    exit code, and runs the installed script itself. What start-up imports, only a cold run tells.
    """

    def __init__(self, folder: Path) -> None:
        self._streams = {"stdout": str(folder / "stdout"), "stderr": str(folder / "stderr")}
        # One thread, because a process with several shall not fork.
        threads = dict.fromkeys(("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS"), "1")
        self._server = subprocess.Popen(
            [sys.executable, str(Path(__file__).with_name("warm.py"))],
            env={**os.environ, **threads},
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            start_new_session=True,
        )

    def __call__(
        self, *arguments: str, cwd: Path | None = None, environment: Mapping[str, str]
    ) -> CompletedProcess[str]:
        """Run one command to its end."""
        command = [COMMAND, *arguments]
        where = str(cwd or Path.cwd())
        request = {"arguments": command, "cwd": where, "environment": dict(environment), **self._streams}
        assert self._server.stdin is not None
        assert self._server.stdout is not None
        self._server.stdin.write(json.dumps(request) + "\n")
        self._server.stdin.flush()
        if not select.select([self._server.stdout], [], [], TIMEOUT_S)[0]:
            os.killpg(self._server.pid, signal.SIGKILL)
            raise subprocess.TimeoutExpired(command, TIMEOUT_S)
        code = int(self._server.stdout.readline())
        streams = (Path(self._streams[name]).read_text("utf-8") for name in ("stdout", "stderr"))
        return CompletedProcess(command, code, *streams)

    def close(self) -> None:
        """Let the server end."""
        self._server.communicate(timeout=60)
        assert self._server.returncode == 0


@pytest.fixture(scope="session")
def _warm(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Warm]:
    warm = Warm(tmp_path_factory.mktemp("warm"))
    yield warm
    warm.close()


class CommandLine:
    """The installed command line in the environment of one test."""

    def __init__(self, warm: Warm, home: Path, columns: int) -> None:
        self._warm = warm
        self.environment = {**os.environ, "COLUMNS": str(columns), "HOME": str(home)}

    def __call__(self, *arguments: str, cwd: Path | None = None) -> CompletedProcess[str]:
        """Run a command in a process that has the imports behind it."""
        return self._warm(*arguments, cwd=cwd, environment=self.environment)

    def cold(self, *arguments: str, cwd: Path | None = None, **variables: str) -> CompletedProcess[str]:
        """Run a command from nothing, as a shell does."""
        return self._new([COMMAND, *arguments], cwd, variables)

    def imported(self, *arguments: str, cwd: Path) -> set[str]:
        """Return the modules that a command imports."""
        done = self._new([sys.executable, "-X", "importtime", COMMAND, *arguments], cwd, {})
        assert done.returncode == 0, done.stderr
        lines = done.stderr.splitlines()
        return {line.rsplit("|", 1)[-1].strip() for line in lines if line.startswith("import time:")}

    def started(self, *arguments: str, cwd: Path) -> subprocess.Popen[str]:
        """Start a command from nothing, for a test that does something to it while it runs."""
        pipe = subprocess.PIPE
        return subprocess.Popen(
            [COMMAND, *arguments], cwd=cwd, env=self.environment, stdout=pipe, stderr=pipe, text=True
        )

    def _new(self, command: list[str], cwd: Path | None, variables: dict[str, str]) -> CompletedProcess[str]:
        environment = {**self.environment, **variables}
        return subprocess.run(
            command, cwd=cwd, env=environment, capture_output=True, text=True, timeout=TIMEOUT_S, check=False
        )


@pytest.fixture
def columns() -> int:
    """How wide the terminal is."""
    return 80


@pytest.fixture
def run(_warm: Warm, tmp_path: Path, columns: int) -> CommandLine:
    """The command line of one test."""
    return CommandLine(_warm, tmp_path, columns)
