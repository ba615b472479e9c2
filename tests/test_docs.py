"""The documentation says what the code does: everything that users can name is described, and every example works."""

from __future__ import annotations

import ast
import importlib
import importlib.util
import inspect
import pkgutil
import re
import sys
import tomllib
import types
import typing
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
import torch
import typer.main
from pydantic import BaseModel
from pydantic_core import PydanticUndefined

from cnnbench import errors, plugin
from cnnbench.cli.app import app
from cnnbench.design import cell_recipes, planned_cells
from cnnbench.doctor import __path__ as doctor_room
from cnnbench.doctor.check import Check
from cnnbench.plugin import KINDS, CatalogueHooks, EvaluationBatch, ObserverHooks, ParameterGroup, Progress
from cnnbench.registry import Registry
from cnnbench.spec import Hypothesis, Ref, StudySpec, load_study
from cnnbench.types import STREAMS, Trial, TrialFailure

if TYPE_CHECKING:
    from collections.abc import Iterator

ROOT = Path(__file__).parent.parent
DOCS = ROOT / "docs"
PAGES = sorted([*ROOT.glob("*.md"), *DOCS.rglob("*.md")])
FENCED = re.compile(r"^```(\w*)\n(.*?)^```$", re.MULTILINE | re.DOTALL)


def text_of(name: str) -> str:
    return (DOCS / name).read_text("utf-8")


def blocks(language: str, pages: list[Path] = PAGES) -> list[Any]:
    """Return the code blocks of a language as parameters of a test, named by page and line."""
    found = []
    for page in pages:
        text = page.read_text("utf-8")
        for match in FENCED.finditer(text):
            if match[1] == language:
                line = text.count("\n", 0, match.start()) + 1
                found.append(pytest.param(match[2], id=f"{page.relative_to(ROOT)}:{line}"))
    return found


def row_of(key: str, text: str) -> str:
    """Return the table row that describes a key."""
    rows = [line for line in text.splitlines() if line.startswith(f"| `{key}` |")]
    assert len(rows) == 1, f"`{key}` has {len(rows)} rows"
    return rows[0]


def components_page() -> types.ModuleType:
    spec = importlib.util.spec_from_file_location("generate_components", DOCS / "generate_components.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.fixture(scope="module")
def registry() -> Registry:
    return Registry.discover()


# ------------------------------------------------------------------------------------------------ names


@pytest.mark.parametrize("hooks", [CatalogueHooks, ObserverHooks])
def test_every_hook_is_described_with_its_arguments(hooks: type):
    for name, hook in vars(hooks).items():
        if name.startswith("cnnbench_"):
            row = row_of(name, text_of("hooks.md"))
            for argument in list(inspect.signature(hook).parameters)[1:]:
                assert f"`{argument}`" in row


def test_no_hook_is_described_that_does_not_exist():
    known = {name for hooks in (CatalogueHooks, ObserverHooks) for name in vars(hooks)}
    assert set(re.findall(r"\bcnnbench_[a-z_]+", text_of("hooks.md"))) - {"cnnbench_"} <= known


def test_every_kind_of_component_is_described_with_its_methods():
    text = text_of("hooks.md")
    for base, hook in KINDS.values():
        row = row_of(hook, text)
        assert f"`{base.__name__}`" in row
        for name in vars(base):
            if inspect.isfunction(vars(base)[name]) and not name.startswith("_"):
                assert f"`{name}(" in row, f"{base.__name__}.{name}"
                assert f"**`{base.__name__}.{name}`**" in text


def test_everything_that_a_metric_declares_is_described():
    declared = [name for name in vars(plugin.Metric)["__annotations__"] if not name.startswith("_")]
    assert declared
    for name in declared:
        assert f"`{name}`" in text_of("hooks.md")


def test_the_page_of_components_is_up_to_date():
    generator = components_page()
    assert generator.PAGE.read_text("utf-8") == generator.page(), "run `python docs/generate_components.py`"


def test_every_first_party_component_and_each_of_its_parameters_is_described(registry: Registry):
    sections = dict(re.findall(r"^### (\S+)\n(.*?)(?=^##|\Z)", text_of("components.md"), re.MULTILINE | re.DOTALL))
    own = [entry.component for entry in registry.entries() if entry.plugin == "first-party"]
    assert {component.key for component in own} == set(sections)
    for component in own:
        for name in component.model_fields:
            row_of(name, sections[component.key])


def models_in(annotation: Any) -> Iterator[type[BaseModel]]:
    """Yield the models that an annotation can hold; components are described elsewhere."""
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        if annotation is not Ref:
            yield annotation
        return
    for inner in typing.get_args(annotation):
        yield from models_in(inner)


def study_keys(model: type[BaseModel] = StudySpec, prefix: str = "") -> Iterator[tuple[str, Any]]:
    """Yield every key of a study file with its default, hypotheses once under a name of their own."""
    for name, field in model.model_fields.items():
        key = f"{prefix}{name}"
        yield key, field.default
        for inner in models_in(field.annotation):
            if inner is not Hypothesis:
                named = "NAME." if typing.get_origin(field.annotation) is dict else ""
                yield from study_keys(inner, f"{key}.{named}")


STUDY_KEYS = dict([*study_keys(), *study_keys(Hypothesis, "hypothesis."), ("profiles", None)])


@pytest.mark.parametrize("key", STUDY_KEYS)
def test_every_key_of_a_study_file_is_described_with_its_default(key: str):
    row = row_of(key, text_of("study-file.md"))
    default = STUDY_KEYS[key]
    if default is PydanticUndefined and "." in key:
        assert "| required |" in row
    elif isinstance(default, bool | int | float | str):
        assert f"| `{components_page().toml_text(default)}` |" in row


def test_no_key_of_a_study_file_is_described_that_does_not_exist():
    described = re.findall(
        r"^\| `((?:trial|factors|design|responses|analysis|hypothesis|reference)\.[\w.]+)`",
        text_of("study-file.md"),
        re.MULTILINE,
    )
    assert set(described) <= set(STUDY_KEYS)


def commands(command: Any, path: tuple[str, ...]) -> Iterator[tuple[str, Any]]:
    yield " ".join(path), command
    for name, inner in getattr(command, "commands", {}).items():
        yield from commands(inner, (*path, name))


def test_every_command_is_described_with_its_options():
    text = text_of("cli.md")
    for name, command in commands(typer.main.get_command(app), ("cnnbench",)):
        if getattr(command, "commands", {}) and name != "cnnbench":
            continue
        heading = f"## {name}\n" if name != "cnnbench" else "# The command line\n"
        section = text[text.index(heading) + len(heading) :].split("\n## ")[0]
        for parameter in command.params:
            names = parameter.opts if parameter.param_type_name == "option" else [parameter.metavar]
            for option in names:
                assert option in section, f"{name} {option}"


def test_no_option_is_described_that_does_not_exist():
    known = {
        option
        for _, command in commands(typer.main.get_command(app), ("cnnbench",))
        for parameter in command.params
        for option in parameter.opts
    } | {"--help"}
    for page in PAGES:
        for option in re.findall(r"\bcnnbench (?:study|plan|report)[^\n`]*?(--[a-z-]+)", page.read_text("utf-8")):
            assert option in known, f"{page.name}: {option}"


def error_classes() -> list[type[errors.CnnbenchError]]:
    return [
        value for value in vars(errors).values() if isinstance(value, type) and issubclass(value, errors.CnnbenchError)
    ]


@pytest.mark.parametrize("error", error_classes())
def test_every_error_class_is_described_with_its_exit_code_and_an_example(error: type[errors.CnnbenchError]):
    text = text_of("errors.md")
    assert f"| `{error.__name__}` | {error.exit_code} |" in text
    if error is not errors.CnnbenchError:
        assert f"## {error.__name__}, exit code {error.exit_code}\n" in text


def test_the_exit_codes_without_a_class_are_described():
    from cnnbench.cli.commands import EXIT_ALL_FAILED, EXIT_FAULT_FOUND, EXIT_INTERRUPTED

    for code in (EXIT_ALL_FAILED, EXIT_FAULT_FOUND, EXIT_INTERRUPTED):
        assert f"## Exit code {code}:" in text_of("errors.md")
        assert f"| {code} |" in text_of("cli.md")


def test_every_check_of_the_doctor_is_described_and_no_other():
    modules = [importlib.import_module(f"cnnbench.doctor.{found.name}") for found in pkgutil.iter_modules(doctor_room)]
    keys = {value.key for module in modules for value in vars(module).values() if isinstance(value, Check)}
    described = re.findall(r"^### (.+)$", text_of("doctor.md"), re.MULTILINE)
    assert sorted(described) == sorted(keys)


def test_the_classes_of_failed_trials_are_described():
    described = str(inspect.getdoc(TrialFailure)) + inspect.getsource(TrialFailure)
    for name in re.findall(r"``([A-Z]\w+)``", described):
        row_of(name, text_of("errors.md").split("## Failed trials")[1])


def test_every_attribute_and_variable_of_the_golden_trial_file_is_specified(registry: Registry):
    import h5py

    metrics = {entry.component.key.replace("-", "_") for entry in registry.entries() if entry.kind == "metric"}
    text = text_of("file-format.md").split("## Trial files, format 1")[1].split("\n## ")[0]
    with h5py.File(ROOT / "tests/store/golden/format-1.h5") as file:
        for name in file.attrs:
            assert f"| `{name}` | " in text, name
        variables = [name for name, data in file.items() if not data.is_scale]
        scales = [name for name, data in file.items() if data.is_scale]
    for name in scales:
        assert f"`{name}`" in text
    for name in variables:
        of_metric = re.fullmatch(r"(?:validation|test)_(?:tta_)?(\w+)", name)
        general = re.sub(r"^(?:validation|test)_", "SPLIT_", name)
        assert f"`{name}`" in text or f"`{general}`" in text or (of_metric and of_metric[1] in metrics), name


def test_every_document_of_a_run_folder_and_every_stream_is_named():
    text = text_of("file-format.md")
    for name in ("study.toml", "plan.json", "analysis.json", "environment.json", "findings.json", "trials.csv"):
        assert name in text
    for stream in STREAMS:
        assert f"`{stream}`" in text
        assert f"`{stream}`" in text_of("architecture.md")


def test_the_layers_are_those_that_the_linter_holds():
    contracts = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))["tool"]["importlinter"]["contracts"]
    drawn = "\n".join(f"    {layer.replace('cnnbench.', '')}" for layer in contracts[0]["layers"])
    assert drawn in text_of("architecture.md")


# ------------------------------------------------------------------------------------------------ links


def anchors(page: Path) -> set[str]:
    """Return the anchors that GitHub gives to the headings of a page."""
    text = FENCED.sub("", page.read_text("utf-8"))
    headings = re.findall(r"^#+ (.+)$", text, re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-") for heading in headings}


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_links_within_the_repository_lead_somewhere(page: Path):
    text = FENCED.sub("", page.read_text("utf-8"))
    for target in re.findall(r"\]\(([^)\s]+)\)", text):
        if re.match(r"[a-z]+:", target):
            continue
        file, _, anchor = target.partition("#")
        goal = (page.parent / file).resolve() if file else page
        assert goal.is_relative_to(ROOT), target
        assert goal.exists(), target
        assert not anchor or anchor in anchors(goal), target


def test_every_page_is_on_the_map():
    linked = set(re.findall(r"\]\(([^)#]+)", text_of("index.md")))
    assert {page.name for page in DOCS.glob("*.md")} - {"index.md"} <= linked
    listed = re.findall(r"\]\((\d{4}-[^)]+)\)", (DOCS / "decisions/README.md").read_text("utf-8"))
    assert sorted(listed) == sorted(page.name for page in (DOCS / "decisions").glob("0*.md"))


@pytest.mark.parametrize("page", sorted((DOCS / "decisions").glob("0*.md")), ids=lambda page: page.stem)
def test_a_decision_has_context_choice_and_consequences(page: Path):
    text = page.read_text("utf-8")
    assert text.startswith(f"# {page.name[:4]} ")
    assert re.findall(r"^\*\*(\w+)\.\*\*", text, re.MULTILINE) == ["Context", "Choice", "Consequences"]


# ------------------------------------------------------------------------------------------------ examples


@pytest.mark.parametrize("block", blocks("toml"))
def test_toml_blocks_parse_and_whole_studies_are_valid(block: str, tmp_path: Path):
    data = tomllib.loads(block)
    if "format" not in data:
        return
    registry = Registry.discover()
    for source in plugin_sources():
        register(registry, source)
    study = tmp_path / "study.toml"
    study.write_text(block, "utf-8")
    for profile in (None, *data.get("profiles", {})):
        spec = load_study(study, check_component=registry.check, profile=profile).spec
        cells, _ = planned_cells(spec)
        assert len(list(cell_recipes(spec, registry, cells, data["name"]))) == len(cells) > 0


def test_there_are_whole_studies_among_the_examples():
    assert sum("format = 1" in parameter.values[0] for parameter in blocks("toml")) >= 8


def test_the_tutorial_s_profile_fits_its_study(tmp_path: Path, registry: Registry):
    study, overlay = (parameter.values[0] for parameter in blocks("toml", [DOCS / "tutorial.md"]))
    path = tmp_path / "first.toml"
    path.write_text(f"{study}\n{overlay}", "utf-8")
    spec = load_study(path, check_component=registry.check, profile="quick").spec
    assert (spec.design.replicates, spec.trial.phases[0].epochs) == (2, 2)


@pytest.mark.parametrize("block", blocks("python"))
def test_python_blocks_compile(block: str):
    compile(block, "<documentation>", "exec", dont_inherit=True)


def plugin_sources() -> list[str]:
    sources = [parameter.values[0] for parameter in blocks("python", [DOCS / "write-a-plugin.md"])]
    return [source for source in sources if "hookimpl" in source]


def register(registry: Registry, source: str) -> types.ModuleType:
    """Run a plugin's source as a module of its own, and register it."""
    name = f"documented_{abs(hash(source))}"
    module = types.ModuleType(name)
    sys.modules[name] = module  # pydantic looks annotations up there
    exec(compile(source, name, "exec", dont_inherit=True), vars(module))  # noqa: S102 - our own documentation
    registry.register(module, name)
    return module


PLUGINS = [
    parameter
    for parameter in blocks("python", [ROOT / "README.md", DOCS / "write-a-plugin.md"])
    if "hookimpl" in parameter.values[0]
]


@pytest.mark.parametrize("source", PLUGINS)
def test_the_plugins_of_the_documentation_register_and_work(
    source: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setenv("MY_LOG", str(tmp_path / "log.jsonl"))
    registry = Registry.discover()
    module = register(registry, source)
    offered = [entry for entry in registry.entries() if entry.plugin == module.__name__]
    for entry in offered:
        TRY[entry.kind](entry.component(), tmp_path)
    if not offered:
        observe(registry, tmp_path / "log.jsonl")


def test_there_is_a_plugin_of_every_kind_and_an_observer():
    hooks = set(re.findall(r"^def (cnnbench_\w+)", "\n".join(plugin_sources()), re.MULTILINE))
    assert {hook for _, hook in KINDS.values()} <= hooks
    assert hooks & set(vars(ObserverHooks))


def test_the_first_plugin_of_readme_and_guide_is_that_of_the_plugin_module():
    example = inspect.cleandoc(plugin.__doc__ or "").split("::\n")[1].split("\nand in its pyproject.toml")[0]
    wanted = ast.dump(ast.parse(inspect.cleandoc(example)))
    assert ast.dump(ast.parse(PLUGINS[0].values[0])) == wanted
    assert ast.dump(ast.parse(plugin_sources()[0])) == wanted


def try_model(model: Any, _: Path) -> None:
    assert model.build((1, 12, 12), 3)(torch.rand(2, 1, 12, 12)).shape == (2, 3)


def try_dataset(dataset: Any, cache: Path) -> None:
    arrays = dataset.load(cache)
    assert arrays.images.dtype == np.uint8
    assert set(arrays.label_N.tolist()) == set(range(len(arrays.class_names)))


def try_augmentation(augmentation: Any, _: Path) -> None:
    images_BCHW = torch.full((4, 1, 5, 5), 0.5)
    augmented_BCHW = augmentation.apply(images_BCHW, torch.Generator().manual_seed(0))
    assert augmented_BCHW.shape == images_BCHW.shape
    assert len(torch.unique(augmented_BCHW, dim=0)) == 4


def try_optimizer(optimizer: Any, _: Path) -> None:
    weight = torch.nn.Parameter(torch.ones(3))
    built = optimizer.build([ParameterGroup("head", [weight], 0.1)])
    weight.sum().backward()
    built.step()
    assert (weight < 1).all()


def try_scheduler(scheduler: Any, _: Path) -> None:
    assert [scheduler.multiplier(Progress(step, 4, 2)) for step in range(4)] == [1.0, 0.75, 0.5, 0.25]


def try_metric(metric: Any, _: Path) -> None:
    logits_NK = torch.tensor([[2.0, 0.0], [0.0, 2.0], [2.0, 0.0]])
    value = metric.compute(EvaluationBatch(logits_NK, torch.tensor([0, 1, 1]), 1.0, 1.0))
    assert value.tolist() == [1.0, 0.5]


def try_report_section(section: Any, _: Path) -> None:
    import pandas as pd

    trials = pd.DataFrame({"replicate": [0, 1], "total_s": [1.0, 2.0]})
    rendered = section.render(types.SimpleNamespace(trials=trials, factors=()))
    assert rendered.tables[0].rows == (("", 1, 2.0), ("", 0, 1.0))


TRY = {
    "model": try_model,
    "dataset": try_dataset,
    "augmentation": try_augmentation,
    "optimizer": try_optimizer,
    "scheduler": try_scheduler,
    "metric": try_metric,
    "report section": try_report_section,
}


def observe(registry: Registry, log: Path) -> None:
    trial = Trial("abc", "s", {"depth": 8}, 0, {}, {}, "", 0.0, ())
    registry.observers().trial_finished(trial, TrialFailure(trial, "Diverged", "", "", None))
    assert log.read_text("utf-8") == '{"trial": "abc", "cell": {"depth": 8}, "outcome": "TrialFailure"}\n'


# ------------------------------------------------------------------------------------------------ commands


def test_the_readme_s_commands_are_those_that_are_run():
    readme = (ROOT / "README.md").read_text("utf-8")
    main_job, tests = (line.strip() for line in re.findall(r"^    (pip install .*)$", readme, re.MULTILINE))
    assert main_job == "pip install . && cnnbench study studies/entr.toml"
    assert (ROOT / "studies/entr.toml").exists()
    assert tests == "pip install tox && tox"
    assert (ROOT / "tox.ini").exists()
    assert f"({tests})" in (ROOT / ".ci/run").read_text("utf-8")


def test_studies_that_the_documentation_names_exist():
    for page in PAGES:
        for name in re.findall(r"\bstudies/[\w-]+\.toml", page.read_text("utf-8")):
            assert (ROOT / name).exists(), f"{page.name}: {name}"
