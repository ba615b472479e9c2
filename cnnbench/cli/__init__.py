"""The command line: the only room that prints or exits."""

from __future__ import annotations

import sys

from cnnbench.cli.app import app
from cnnbench.errors import CnnbenchError

__all__ = ["main"]


def main() -> None:
    """Run the command line; a user's mistake is one sentence and an exit code, a bug is a traceback."""
    try:
        app()
    except CnnbenchError as error:
        for line in str(error).splitlines():
            sys.stderr.write(f"error: {line}\n")
        sys.exit(error.exit_code)
    except BrokenPipeError:  # `cnnbench ... | head` has read enough
        sys.stderr.close()
        sys.exit(0)
