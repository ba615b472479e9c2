"""Requests to stop: Ctrl-C and SIGTERM."""

from __future__ import annotations

import contextlib
import signal
import threading
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Generator
    from types import FrameType


@contextlib.contextmanager
def interruptible() -> Generator[None]:
    """Let Ctrl-C and SIGTERM end the block with KeyboardInterrupt, whatever becomes of that exception on its way.

    Python raises it wherever it is at that moment. Where that is a function that a library written in C or Rust has
    called (a serializer of pydantic's, say), the library may turn it into an error of its own, which would look like
    a fault of the program. So any error after a request to stop counts as that request.

    A signal that was ignored before stays so. Outside the main thread, where Python delivers no signals, this does
    nothing.

    Raises:
        KeyboardInterrupt: The user, or the system, wants the program to stop.
    """
    requested = False

    def stop(_signal: int, _frame: FrameType | None) -> None:
        nonlocal requested
        requested = True
        raise KeyboardInterrupt

    with contextlib.ExitStack() as handlers:
        if threading.current_thread() is threading.main_thread():
            for number in (signal.SIGINT, signal.SIGTERM):
                if signal.getsignal(number) != signal.SIG_IGN:
                    handlers.callback(signal.signal, number, signal.signal(number, stop))
        try:
            yield
        except Exception as error:
            if requested:
                raise KeyboardInterrupt from error
            raise
