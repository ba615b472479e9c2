"""What holds for every component of every kind."""

from __future__ import annotations

import json
import pickle
import re
import subprocess
import sys
from typing import TYPE_CHECKING

import pytest
from pydantic import ValidationError

from cnnbench.plugin import KINDS, component_identity

if TYPE_CHECKING:
    from cnnbench.plugin import Component


def test_the_key_is_lower_case_words_joined_by_hyphens(component: Component):
    assert re.fullmatch(r"[a-z0-9]+(-[a-z0-9]+)*", component.key)


def test_it_is_of_exactly_one_kind(component: Component):
    assert sum(isinstance(component, base) for base, _ in KINDS.values()) == 1


def test_it_is_described(component: Component):
    assert type(component).__doc__


def test_every_parameter_that_explains_itself_does_so_in_the_schema(component: Component):
    schema = component.model_json_schema()
    assert set(schema.get("properties", {})) == set(type(component).model_fields)


def test_it_is_hashable_and_equal_to_its_like(component: Component):
    again = component.model_copy()
    assert (component, hash(component)) == (again, hash(again))


def test_it_survives_pickling(component: Component):
    assert pickle.loads(pickle.dumps(component)) == component  # noqa: S301 - our own bytes


def test_it_is_frozen(component: Component):
    for name in type(component).model_fields:
        with pytest.raises(ValidationError, match="frozen"):
            setattr(component, name, getattr(component, name))


def test_a_misspelt_parameter_is_refused(component: Component):
    with pytest.raises(ValidationError, match="Extra inputs are not permitted"):
        type(component).model_validate({**component.model_dump(), "no_such_parameter": 1})


def test_the_identity_is_plain_json(component: Component):
    identity = component_identity(component)
    assert json.loads(json.dumps(identity, allow_nan=False)) == identity
    assert identity["use"] == component.key


def test_listing_the_components_imports_nothing_heavy():
    program = (
        "import sys\n"
        "from importlib.metadata import entry_points\n"
        "from cnnbench.plugin import KINDS\n"
        "plugins = [point.load() for point in entry_points(group='cnnbench') if point.name == 'first-party']\n"
        "offered = [c for p in plugins for _, h in KINDS.values() if hasattr(p, h) for c in getattr(p, h)()]\n"
        "assert offered\n"
        "print(*sorted({'torch', 'torchvision', 'torchmetrics', 'pandas', 'PIL', 'h5py'} & set(sys.modules)))\n"
    )
    run = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert run.stdout.strip() == ""
