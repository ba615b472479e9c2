"""Pickles of plain values are read, and nothing that another one names is called."""

from __future__ import annotations

import contextlib
import io
import os
import pickle
from typing import Any

import numpy as np
import pytest
from cnnbench_plugins.datasets.plain_pickle import read_plain_pickle
from hypothesis import given
from hypothesis import strategies as st

PYTHON_2 = (
    b"\x80\x02}q\x01(U\x04dataq\x02cnumpy.core.multiarray\n_reconstruct\nq\x03cnumpy\nndarray\nq\x04K\x00\x85"
    b"U\x01b\x87Rq\x05(K\x01K\x02K\x02\x86cnumpy\ndtype\nq\x06U\x02u1K\x00K\x01\x87Rq\x07"
    b"(K\x03U\x01|NNNJ\xff\xff\xff\xffJ\xff\xff\xff\xffK\x00tb\x89U\x04\x01\x02\x03\x04tbU\x06labels]q\x08(K\x05K\x06eu."
)
"""What Python 2 and numpy 1 wrote for ``{"data": [[1, 2], [3, 4]], "labels": [5, 6]}``."""


def test_a_pickle_of_python_2_has_keys_of_bytes_and_an_array():
    table = read_plain_pickle(PYTHON_2)
    assert table[b"data"].tolist() == [[1, 2], [3, 4]]
    assert table[b"data"].dtype == np.uint8
    assert table[b"labels"] == [5, 6]


@pytest.mark.parametrize("protocol", range(5))
@pytest.mark.parametrize(
    "value",
    [
        np.arange(6, dtype=np.uint8).reshape(2, 3),
        np.asfortranarray(np.arange(6, dtype=np.int64).reshape(2, 3)),
        np.arange(3, dtype=">i4"),
        np.array([0.5, 1.5]),
        ["a", b"b", 1, 2.5, None, True, (1, 2), {"c": []}],
    ],
    ids=["bytes", "fortran", "big-endian", "floats", "containers"],
)
def test_what_this_python_writes_comes_back(protocol: int, value: Any):
    found = read_plain_pickle(pickle.dumps({"value": value}, protocol))["value"]
    if isinstance(value, np.ndarray):
        assert found.dtype == value.dtype
        assert np.array_equal(found, value)
    elif protocol > 2:  # earlier ones write bytes by way of a text
        assert found == value


class Harm:
    def __init__(self, function: Any, *arguments: Any) -> None:
        self.call = (function, arguments)

    def __reduce__(self) -> tuple[Any, tuple[Any, ...]]:
        return self.call


@pytest.mark.parametrize("protocol", range(6))
@pytest.mark.parametrize(
    "harm",
    [
        Harm(exec, "raise SystemExit"),
        Harm(os.mkdir, "harm"),
        Harm(getattr, os, "name"),
        Harm(np.load, "harm"),
        Harm(io.open, "harm", "w"),
        Harm,
    ],
    ids=["exec", "mkdir", "getattr", "numpy", "open", "class"],
)
def test_a_pickle_that_names_anything_else_is_refused(
    protocol: int, harm: object, tmp_path: Any, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.chdir(tmp_path)
    if isinstance(harm, Harm) and harm.call[0] is getattr:
        harm = Harm(getattr, "text", "upper")
    with pytest.raises(ValueError, match="which is no plain value"):
        read_plain_pickle(pickle.dumps({"data": harm}, protocol))
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("dtype", ["O", "S3", "U2", "M8[s]", [("a", "u1")]])
def test_arrays_of_other_things_than_numbers_are_refused(dtype: Any):
    with pytest.raises(ValueError, match=r"."):
        read_plain_pickle(pickle.dumps({"data": np.zeros(2, dtype)}, 2))


def test_a_function_that_is_admitted_cannot_be_given_attributes():
    with pytest.raises(ValueError, match="it sets attributes of a function"):
        read_plain_pickle(b"}(U\x01acnumpy\ndtype\n}U\x01bK\x01sbu.")


@pytest.mark.parametrize("content", [b"\x80\x02}r\xff\xff\xff\xff.", b"}p4000000000\n.", b"\x8e" + b"\x7f" * 8 + b"."])
def test_a_few_bytes_that_ask_for_all_the_memory_are_refused(content: bytes):
    with pytest.raises(ValueError, match="higher than it can hold values|only 1 remain|exceeds"):
        read_plain_pickle(content)


@pytest.mark.parametrize("content", [b"", b"no pickle", PYTHON_2[:-30], pickle.dumps([1])], ids=str)
def test_what_is_no_dictionary_or_no_pickle_is_refused(content: bytes):
    with pytest.raises(ValueError, match=r"."):
        read_plain_pickle(content)


@given(content=st.binary(max_size=60), cut=st.integers(0, len(PYTHON_2)))
def test_garbage_is_refused_or_is_a_dictionary(content: bytes, cut: int):
    with contextlib.suppress(ValueError):
        assert isinstance(read_plain_pickle(PYTHON_2[:cut] + content), dict)
