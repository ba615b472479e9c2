"""Reading pickles that hold nothing but plain containers, texts, numbers and numpy arrays.

A pickle is a program: `pickle.load` runs whatever it names. Datasets come as pickles nevertheless. Here a pickle may
name four things, which numpy's arrays are made of, and gets stand-ins for them that keep their arguments; all else is
refused before it is called.
"""

from __future__ import annotations

import io
import pickle
import pickletools
import re
from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    from collections.abc import Callable

    from numpy.typing import NDArray

__all__ = ["read_plain_pickle"]

_PLAIN_TYPE = re.compile(r"[<>|=]?[biuf][1-8]")


def read_plain_pickle(content: bytes) -> dict[Any, Any]:
    """Return the dictionary that a pickle holds; its values may be arrays. Python 2's texts become bytes.

    Raises:
        ValueError: It is damaged, is no dictionary, or holds something else than plain values.
    """
    try:
        _refuse_giant_memo(content)
        table = _PlainUnpickler(io.BytesIO(content), encoding="bytes").load()
    except Exception as error:  # a damaged pickle makes the unpickler raise whatever it stumbles on
        raise ValueError(str(error) or type(error).__name__) from error
    if not isinstance(table, dict):
        raise ValueError("it is no dictionary")  # noqa: TRY004 - the file is wrong, not the program
    return {key: value.array if isinstance(value, _Array) else value for key, value in table.items()}


def _refuse_giant_memo(content: bytes) -> None:
    """Read through the operations without doing them.

    The unpickler makes room for as many remembered values as the highest number that one is given, and for as long a
    text as is announced: a few bytes can ask for all the memory there is. The scan refuses texts that are cut off.
    """
    for operation, argument, _ in pickletools.genops(content):
        if operation.name in {"PUT", "BINPUT", "LONG_BINPUT"} and int(argument or 0) > len(content):
            raise pickle.UnpicklingError("it numbers a value higher than it can hold values")


class _PlainUnpickler(pickle.Unpickler):
    def find_class(self, module: str, name: str) -> Any:
        try:
            return _Admitted(_ADMITTED[module, name])
        except KeyError:
            raise pickle.UnpicklingError(f"it asks for `{module}.{name}`, which is no plain value") from None


class _Admitted:
    """Something that a pickle may call, and do nothing else with."""

    def __init__(self, function: Callable[..., Any]) -> None:
        self._function = function

    def __call__(self, *arguments: Any) -> Any:
        return self._function(*arguments)

    def __setstate__(self, state: object) -> None:
        raise pickle.UnpicklingError("it sets attributes of a function")


class _Dtype:
    """Stands for a numpy dtype of plain numbers."""

    def __init__(self, code: str | bytes, *_flags: object) -> None:
        if not _PLAIN_TYPE.fullmatch(_text(code)):
            raise pickle.UnpicklingError(f"it holds an array of the type {_text(code)!r}")
        self.dtype = np.dtype(_text(code))

    def __setstate__(self, state: tuple[Any, ...]) -> None:
        order = _text(state[1])
        if order in "<>":
            self.dtype = np.dtype(order + self.dtype.str[1:])


class _Array:
    """Stands for a numpy array until its state comes."""

    def __init__(self, *_arguments: object) -> None:
        self.array: NDArray[Any] = np.empty(0)

    def __setstate__(self, state: tuple[Any, ...]) -> None:
        _version, shape, dtype, is_fortran, data = state
        self.array = np.frombuffer(data, dtype.dtype).reshape(shape, order="F" if is_fortran else "C")


_ADMITTED: dict[tuple[str, str], Callable[..., Any]] = {
    ("numpy", "ndarray"): _Array,  # named as an argument of the next
    ("numpy.core.multiarray", "_reconstruct"): _Array,
    ("numpy._core.multiarray", "_reconstruct"): _Array,
    ("numpy", "dtype"): _Dtype,
    ("_codecs", "encode"): lambda text, _encoding: text.encode("latin1"),  # bytes, as Python 3 writes them for 2
}


def _text(value: str | bytes) -> str:
    return value.decode("latin1") if isinstance(value, bytes) else value
