"""What every listed system must keep (DESIGN.md, section 4)."""

import dataclasses
import fnmatch
import re
import typing
from typing import Annotated, Any

import pytest
import torch

from saccade.app import catalogue, flags
from saccade.core.config import from_plain, to_plain
from saccade.core.tap import Tap
from saccade.training.memory import sized
from saccade.training.sampler import in_order

SYSTEMS = catalogue.names()
VARIANTS = [(system, variant) for system in SYSTEMS for variant in catalogue.recipe(system).variants]


def built(system: str) -> tuple[Any, Any, Any, Any]:
    recipe = catalogue.recipe(system)
    config = recipe.variants["tiny"]
    task = recipe.task(config, None)
    return recipe, config, task, recipe.build(config, task)


def whole_numbers(cls: Any, prefix: str = "") -> dict[str, tuple[list[Any], Any]]:
    """The fields of a nested configuration that are whole numbers -> what is said of them, and their annotation."""
    found: dict[str, tuple[list[Any], Any]] = {}
    for name, field in cls.__pydantic_fields__.items():
        kind = typing.get_type_hints(cls, include_extras=True)[name]
        if dataclasses.is_dataclass(kind):
            found |= whole_numbers(kind, f"{prefix}{name}.")
        parts = [kind, *typing.get_args(kind)]  # of `Annotated[int, ...] | None` the first
        for part in parts:
            base, *metadata = typing.get_args(part) if typing.get_origin(part) is Annotated else (part,)
            if base is int:
                found[prefix + name] = ([*metadata, *field.metadata], kind)
                break
    flat: dict[str, tuple[list[Any], Any]] = {}
    for name, (metadata, kind) in found.items():
        inner = [each for one in metadata for each in getattr(one, "metadata", [one])]  # of a `Field(...)`
        flat[name] = (inner, kind)
    return flat


@pytest.mark.parametrize("system", SYSTEMS)
class TestSystem:
    def test_it_has_tiny_and_default_and_a_readme_with_evidence(self, system: str) -> None:
        assert {"tiny", "default"} <= set(catalogue.recipe(system).variants)
        readme = (catalogue.SYSTEMS / system / "README.md").read_text(encoding="utf-8")
        assert readme.startswith("# ")
        assert readme.count("<!-- evidence -->") == readme.count("<!-- /evidence -->") == 1

    def test_its_paper_is_named_in_full(self, system: str) -> None:
        paper = catalogue.recipe(system).paper
        assert all(value for name, value in dataclasses.asdict(paper).items() if name not in ("arxiv", "doi"))
        assert re.fullmatch(r"\d{4}\.\d{4,5}", paper.arxiv) or re.fullmatch(r"10\.\d{4,}/\S+", paper.doi)

    def test_one_step_down_the_objective_lowers_it(self, system: str) -> None:
        recipe, _, task, model = built(system)
        objective = recipe.objective or task.objective
        batch = task.collate(task.examples("train")[:7])
        optimizer = torch.optim.SGD(model.parameters(), 1e-2)
        model.eval()
        losses = []
        for step in range(2):
            optimizer.zero_grad()
            loss = objective(model, batch, step).value
            loss.backward()
            optimizer.step()
            losses.append(float(loss.detach()))
        assert losses[1] < losses[0]
        assert all(weight.grad is not None and weight.grad.isfinite().all() for weight in model.parameters())

    def test_it_predicts_what_the_task_can_judge_and_write(self, system: str) -> None:
        recipe, config, task, model = built(system)
        model.eval()
        examples = task.examples("test")[:5]
        predictions = recipe.predict(model, task.collate(examples), config)
        assert len(predictions) == len(examples)
        figures = task.score(predictions, examples)
        assert figures[task.metric] is not None
        assert isinstance(task.decode(predictions[0]), str)

    def test_padding_never_changes_a_prediction(self, system: str) -> None:
        recipe, config, task, model = built(system)
        model.double().eval()
        examples = task.examples("test")[:5]
        together = recipe.predict(model, task.collate(examples), config)
        assert together == [recipe.predict(model, task.collate([example]), config)[0] for example in examples]

    def test_what_it_shows_is_a_tap(self, system: str) -> None:
        recipe, _, _, model = built(system)
        taps = {name for name, module in model.named_modules() if isinstance(module, Tap)}
        assert all(fnmatch.filter(taps, show.tap) for show in recipe.shows)
        assert not any(name.startswith(tuple(f"{tap}." for tap in taps)) for name in model.state_dict())

    def test_its_claims_are_about_a_variant_and_a_figure_that_exist(self, system: str) -> None:
        recipe, config, task, model = built(system)
        examples = task.examples("test")[:2]
        figures = task.score(recipe.predict(model.double().eval(), task.collate(examples), config), examples)
        for claim in recipe.claims:
            assert claim.variant in recipe.variants
            assert isinstance(figures[claim.metric], float)
            assert claim.split == "test"
            assert claim.why

    def test_its_evidence_holds_what_was_run(self, system: str) -> None:
        keys = {"system", "variant", "changed", "date", "command", "commit", "versions", "hardware", "seeds",
                "wall_seconds", "paper", "data", "metrics", "claims", "config"}  # fmt: skip
        for found in catalogue.evidence(system):
            assert keys <= set(found)
            assert found["system"] == system

    def test_its_size_is_known_before_it_is_made(self, system: str) -> None:
        recipe, config, task, model = built(system)
        before = torch.random.get_rng_state()
        weights = dict(sized(lambda: recipe.build(config, task)).named_parameters())
        assert {name: weight.shape for name, weight in weights.items()} == {
            name: weight.shape for name, weight in model.named_parameters()
        }
        assert {weight.device.type for weight in weights.values()} == {"meta"}
        assert torch.equal(before, torch.random.get_rng_state())

    def test_every_whole_number_of_its_configuration_has_bounds(self, system: str) -> None:
        for name, (metadata, kind) in whole_numbers(type(catalogue.recipe(system).config)).items():
            bounds = {bound for each in metadata for bound in ("ge", "gt", "le", "lt") if hasattr(each, bound)}
            assert bounds & {"le", "lt"}, f"{name} ({kind}) has no upper bound"
            assert bounds & {"ge", "gt"}, f"{name} ({kind}) has no lower bound"

    def test_batches_hold_each_example_once(self, system: str) -> None:
        _, config, task, _ = built(system)
        costs = [task.cost(example) for example in task.examples("test")]
        rows = [row for batch in in_order(costs, config.training.batch_tokens) for row in batch]
        assert sorted(rows) == list(range(len(costs)))


@pytest.mark.parametrize(("system", "variant"), VARIANTS)
def test_a_variant_is_complete_and_survives_yaml_and_flags(system: str, variant: str) -> None:
    config = catalogue.recipe(system).variants[variant]
    assert from_plain(type(config), to_plain(config)) == config
    assert flags.parse(config, []) == config


@pytest.mark.parametrize("system", SYSTEMS)
def test_every_field_has_help(system: str) -> None:
    config = catalogue.recipe(system).config

    def check(record: Any) -> None:
        for name, field in type(record).__pydantic_fields__.items():
            value = getattr(record, name)
            if dataclasses.is_dataclass(value):
                check(value)
            else:
                assert field.description, f"{type(record).__name__}.{name} has no docstring"

    check(config)
