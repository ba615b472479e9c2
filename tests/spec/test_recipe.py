"""Keys that came later, and what `oversample` asks for."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cnnbench.spec import Oversample, RecipeInput, Split

RECIPE = {"model": "resnet-small", "dataset": "digits", "phases": [{"name": "main", "epochs": 1, "size_px": 8}]}


def test_later_keys_are_in_the_json_only_where_they_are_set():
    plain = RecipeInput.model_validate(RECIPE).model_dump(mode="json")
    changed = {"compile": True, "oversample": {"share": 0.1}, "save_weights": "best", "split": {"groups": "keep"}}
    told = RecipeInput.model_validate({**RECIPE, **changed}).model_dump(mode="json")

    assert not {"compile", "oversample", "save_weights"} & plain.keys()
    assert "groups" not in plain["split"]
    assert told["compile"] is True
    assert (told["oversample"]["share"], told["save_weights"], told["split"]["groups"]) == (0.1, "best", "keep")
    assert RecipeInput.model_validate(told).model_dump(mode="json") == told
    assert Split().groups == "auto"


@given(counts=st.lists(st.integers(1, 1000), min_size=2, max_size=6), share=st.floats(0, 3))
def test_a_share_makes_every_class_but_the_largest_grow_by_it(counts, share):
    names = [str(place) for place in range(len(counts))]

    copies = Oversample(share=share).num_copies(counts, names)

    for count, num in zip(counts, copies, strict=True):
        assert num == 0 if count == max(counts) else abs(num - count * share) <= 0.5 + 1e-9


@given(counts=st.lists(st.integers(1, 1000), min_size=2, max_size=6))
def test_balance_makes_all_classes_alike(counts):
    copies = Oversample(share="balance").num_copies(counts, [str(place) for place in range(len(counts))])

    assert {count + num for count, num in zip(counts, copies, strict=True)} == {max(counts)}


def test_named_classes_alone_are_copied_even_the_largest():
    assert Oversample(share=0.5, classes=("b", "c")).num_copies([10, 20, 8], ["a", "b", "c"]) == [0, 10, 4]


@pytest.mark.parametrize("share", [-0.1, "twice", None])
def test_a_share_that_is_none_is_refused(share: object):
    with pytest.raises(ValueError, match="share"):
        Oversample.model_validate({"share": share})
