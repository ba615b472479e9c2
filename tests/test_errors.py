from __future__ import annotations

import inspect
import re

import pytest

from cnnbench import errors
from cnnbench.errors import CnnbenchError, Problem, SpecError

CLASSES = [each for _, each in inspect.getmembers(errors, inspect.isclass) if issubclass(each, CnnbenchError)]


def test_every_error_has_an_exit_code_of_its_own():
    codes = [each.exit_code for each in CLASSES]
    assert sorted(codes) == sorted(set(codes))
    assert all("exit_code" in vars(each) for each in CLASSES)


def test_no_error_takes_a_code_that_means_something_else():
    assert {0, 2, 11, 130} & {each.exit_code for each in CLASSES} == set()


def test_the_tree_in_the_docstring_is_the_tree():
    drawn = {name: int(code) for name, code in re.findall(r"(\w+Error) \((\d+)\)", errors.__doc__ or "")}
    assert drawn == {each.__name__: each.exit_code for each in CLASSES}


@pytest.mark.parametrize(
    ("problem", "line"),
    [
        (Problem("", "no such file."), "study.toml: no such file."),
        (Problem("trial.epochs", "wrong."), "study.toml: trial.epochs: wrong."),
        (Problem("trial.epochs", "wrong.", 3, 7), "study.toml:3:7: trial.epochs: wrong."),
        (Problem("", "not TOML.", 3, 7), "study.toml:3:7: not TOML."),
    ],
)
def test_a_problem_is_a_line_that_editors_can_jump_to(problem: Problem, line: str):
    assert str(SpecError("study.toml", [problem])) == line


def test_all_problems_of_a_study_are_one_error():
    problems = [Problem("a", "first."), Problem("b", "second.", 1, 2)]
    error = SpecError("study.toml", problems)
    assert error.problems == tuple(problems)
    assert str(error) == "study.toml: a: first.\nstudy.toml:1:2: b: second."
