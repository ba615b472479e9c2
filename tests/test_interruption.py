import os
import signal
import subprocess
import sys
import threading

import pytest
from pydantic import BaseModel, field_serializer

from cnnbench.interruption import interruptible

SIGNALS = [signal.SIGINT, signal.SIGTERM]


class Stopped(BaseModel):
    """Its serializer is where Ctrl-C arrives."""

    number: int

    @field_serializer("number")
    def _while_serialized(self, number: int) -> int:
        os.kill(os.getpid(), number)
        return number


@pytest.mark.parametrize("number", SIGNALS)
def test_a_request_to_stop_is_one_wherever_it_arrives(number: signal.Signals):
    before = signal.getsignal(number)

    with pytest.raises(KeyboardInterrupt), interruptible():
        os.kill(os.getpid(), number)

    with pytest.raises(KeyboardInterrupt) as caught, interruptible():
        Stopped(number=number).model_dump()
    assert type(caught.value.__cause__).__name__ == "PydanticSerializationError"  # else nothing was to be mended
    assert signal.getsignal(number) == before


def test_other_errors_stay_what_they_are():
    with pytest.raises(ValueError, match="of its own"), interruptible():
        raise ValueError("of its own")


@pytest.mark.parametrize("number", SIGNALS)
def test_what_was_ignored_before_is_ignored(number: signal.Signals):
    before = signal.signal(number, signal.SIG_IGN)
    try:
        with interruptible():
            os.kill(os.getpid(), number)
            assert signal.getsignal(number) == signal.SIG_IGN
    finally:
        signal.signal(number, before)


def test_outside_the_main_thread_nothing_is_changed():
    seen = []

    def work() -> None:
        with interruptible():
            seen.append(signal.getsignal(signal.SIGTERM))

    thread = threading.Thread(target=work)
    thread.start()
    thread.join()

    assert seen == [signal.getsignal(signal.SIGTERM)]


def test_the_second_request_is_heard_while_the_first_is_cleaned_up():
    code = """
import os, signal
from cnnbench.interruption import interruptible
try:
    with interruptible():
        try:
            os.kill(os.getpid(), signal.SIGINT)
        finally:
            os.kill(os.getpid(), signal.SIGINT)
            print("not reached")
except KeyboardInterrupt as error:
    print(type(error.__context__).__name__)
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout == "KeyboardInterrupt\n"
