"""In what two documents differ."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from cnnbench.spec import differences, shown

PLAIN = st.recursive(
    st.integers(-3, 3) | st.sampled_from(["", "x", "y"]) | st.booleans(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.sampled_from(["a", "b", "name"]), inner, max_size=3),
    max_leaves=8,
)


def test_every_leaf_that_differs_is_named_by_its_path():
    old = {"trial": {"lr": 0.1, "phases": [{"name": "one", "epochs": 2}, {"name": "two", "epochs": 3}]}, "same": 1}
    new = {"trial": {"lr": 0.2, "phases": [{"name": "two", "epochs": 4}]}, "same": 1}
    assert differences(old, new) == [
        ("trial.lr", 0.1, 0.2),
        ("trial.phases.one.name", "one", None),
        ("trial.phases.one.epochs", 2, None),
        ("trial.phases.two.epochs", 3, 4),
    ]


def test_an_empty_value_and_none_are_no_difference():
    assert differences({"a": 1, "also": []}, {"a": 1}) == []
    assert differences({"a": 0}, {}) == [("a", 0, None)]


@given(PLAIN)
def test_a_document_does_not_differ_from_itself(value):
    assert differences(value, value) == []


def test_values_are_shown_as_json():
    assert [shown(value) for value in (None, "größer", [1, 2], True)] == ["(not there)", '"größer"', "[1, 2]", "true"]
