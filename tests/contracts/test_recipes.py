"""Contracts of every listed system (DESIGN.md, section 4). Abilities of a task are checked, never assumed."""

import dataclasses
import json
import re
import typing
from collections.abc import Mapping, Sequence
from functools import cache
from pathlib import Path
from typing import Annotated, Any

import pytest
import torch

from saccade.core.config import from_plain, to_plain
from saccade.core.errors import InvalidInput
from saccade.core.pretrained import Pretrained
from saccade.core.recipe import Answer, Loss, Recipe
from saccade.core.stream import ExampleStream, StatefulStream, in_order, sizes_of
from saccade.core.task import Figure, Learning, Legible, Readable, Replaying, Score, Sized, Task
from saccade.runs import catalogue, flags
from saccade.training.evidence import MOST

SYSTEMS = catalogue.names()
VARIANTS = [(system, variant) for system in SYSTEMS for variant in catalogue.recipe(system).variants]


class Built(typing.NamedTuple):
    recipe: Recipe
    config: Any
    task: Any
    model: Any

    def predict(self, examples: Sequence[Any]) -> list[Any]:
        with torch.inference_mode():
            return self.recipe.predict(self.model.eval(), self.task.collate(examples), self.config)

    def answer(self, example: Any, prediction: Any) -> Answer:
        return Answer(self.model, self.task, self.config, example, prediction, torch.device("cpu"))


def built(system: str, variant: str = "tiny") -> Built:
    """A variant, by default the smallest, with new weights."""
    recipe = catalogue.recipe(system)
    config = recipe.variants[variant]
    if any(isinstance(value, Pretrained) for value in leaves(config)):
        pytest.skip("it takes the network of a run; its own tests train one")
    task = task_of(system, variant)
    return Built(recipe, config, task, recipe.build(config, task))


@cache
def task_of(system: str, variant: str = "tiny") -> Any:
    """The task of a variant; its data are read once."""
    recipe = catalogue.recipe(system)
    return recipe.task(recipe.variants[variant], None)


def figures_at_hand(system: str, variant: str) -> dict[str, Figure] | None:
    """`figures_of` a variant; None if it needs data that are not in the package, and says how to name them."""
    try:
        return figures_of(built(system, variant))
    except InvalidInput as error:
        if "--task." not in str(error):
            raise
        return None


def figures_of(made: Built) -> dict[str, Figure]:
    """The figures of the score and the measures, over two examples."""
    made.model.double()
    examples = made.task.examples("test")[:2]
    predictions = made.predict(examples)
    figures = dict(made.task.score(predictions, examples).figures)
    if made.recipe.measures is not None:
        with torch.inference_mode():
            figures |= made.recipe.measures(made.answer(examples[0], predictions[0]))
    return figures


def leaves(config: Any) -> list[Any]:
    """The values of a nested configuration."""
    values = [getattr(config, field.name) for field in dataclasses.fields(config)]
    return [leaf for value in values for leaf in (leaves(value) if dataclasses.is_dataclass(value) else [value])]


def batch_of(made: Built) -> Any:
    """A training batch, of the system's stream or of the examples."""
    if made.recipe.stream is not None:
        return made.recipe.stream(made.config, made.task, made.model).share(0).batch
    return made.task.collate(made.task.examples("train")[:7], torch.Generator().manual_seed(1))


@pytest.mark.parametrize("system", SYSTEMS)
class TestSystem:
    def test_it_has_tiny_and_default_and_a_readme_with_evidence(self, system: str) -> None:
        assert {"tiny", "default"} <= set(catalogue.recipe(system).variants)
        readme = (catalogue.SYSTEMS / system / "README.md").read_text(encoding="utf-8")
        assert readme.startswith("# ")
        assert readme.count("<!-- evidence -->") == readme.count("<!-- /evidence -->") == 1

    def test_its_paper_is_named_in_full(self, system: str) -> None:
        paper = catalogue.recipe(system).paper
        sources = ("arxiv", "doi", "address")
        assert all(value for name, value in dataclasses.asdict(paper).items() if name not in sources)
        assert re.fullmatch(r"\d{4}\.\d{4,5}", paper.arxiv) or paper.doi or paper.address
        assert not paper.doi or re.fullmatch(r"10\.\d{4,}/\S+", paper.doi)
        assert paper.link.startswith("https://")

    def test_its_task_is_a_task_that_names_its_data(self, system: str) -> None:
        task = built(system).task
        assert isinstance(task, Task)
        assert task.direction in ("max", "min")
        assert isinstance(task.metric, str)
        assert isinstance(task.unit, str)
        described = task.describe()
        assert isinstance(described["data"], str)
        assert re.fullmatch("[0-9a-f]{64}", described["sha256"])
        assert json.dumps(described)

    def test_a_step_along_the_gradient_lowers_the_objective(self, system: str) -> None:
        made = built(system)
        if made.recipe.objective is None:
            pytest.skip("it has no objective, so nothing is trained")
        batch = batch_of(made)
        # in evaluation, if there is a loss there, since nothing is sampled
        made.model.train(not made.recipe.objective(made.model.eval(), batch, 0).parts)
        weights = [weight for weight in made.model.parameters() if weight.requires_grad]

        def objective() -> torch.Tensor:
            torch.manual_seed(0)
            loss = made.recipe.objective(made.model, batch, 0)  # at one step, since a warm-up changes weights of parts
            assert isinstance(loss, Loss)
            assert all(part.count >= 0 and part.weight > 0 for part in loss.parts.values()), "a warm-up starts above 0"
            value: torch.Tensor = loss.value
            return value

        first = objective()
        first.backward()
        assert all(weight.grad is not None and weight.grad.isfinite().all() for weight in weights)
        slopes = [weight.grad.clone() for weight in weights if weight.grad is not None]
        if made.recipe.stream is not None and not any(slope.any() for slope in slopes):
            pytest.skip("the first batch of its stream teaches nothing, such as a walk without a reward")
        length = float(torch.stack([slope.norm() for slope in slopes]).norm())
        # where slots are chosen by their rank, a step may choose others
        for step, done in ((1e-2, 0.0), (1e-4, 1e-2), (1e-1, 1e-4)):
            with torch.no_grad():
                for weight, slope in zip(weights, slopes, strict=True):
                    weight.add_(slope, alpha=(done - step) / max(length, 1.0))
            if objective() < first:
                return
        raise AssertionError(f"from {float(first)} no step along the gradient goes down")

    def test_its_batches_are_functions_of_the_seed(self, system: str) -> None:
        made = built(system)
        if made.recipe.objective is None:
            pytest.skip("it has no objective, so nothing is trained")
        training, stream = made.config.training, made.recipe.stream
        streams = [
            stream(made.config, made.task, made.model)
            if stream is not None
            else ExampleStream(made.task, batch_size=training.batch_size, window=training.window, seed=training.seed)
            for _ in range(2)
        ]
        for number in range(3):
            one, other = (each.share(number) for each in streams)
            assert_same(one.batch, other.batch)
            assert one.counted
            for each in streams:
                if isinstance(each, StatefulStream):
                    loss = made.recipe.objective(made.model.train(), one.batch, number)
                    each.after(number, Loss({}, carry=detached(loss.carry)))
        if isinstance(streams[0], StatefulStream) and isinstance(streams[1], StatefulStream):
            fresh: Any = stream(made.config, made.task, made.model) if stream is not None else None
            fresh.load_state_dict(streams[0].state_dict())
            assert_same(fresh.share(3).batch, streams[1].share(3).batch)

    def test_evaluation_reads_each_example_once_and_never_augments(self, system: str) -> None:
        made = built(system)
        examples = made.task.examples("test")
        assert len(examples)
        rows = [
            row for batch in in_order(sizes_of(made.task, examples), made.config.training.batch_size) for row in batch
        ]
        assert sorted(rows) == list(range(len(examples)))
        assert_same(made.task.collate(examples[:3]), made.task.collate(examples[:3]))
        if isinstance(made.task, Sized):
            sizes = [made.task.size(example) for example in examples]
            assert all(size.input >= 0 and size.output >= 1 for size in sizes)

    def test_the_task_can_score_and_decode_its_predictions(self, system: str) -> None:
        made = built(system)
        examples = made.task.examples("test")[:5]
        predictions = made.predict(examples)
        assert len(predictions) == len(examples)
        score = made.task.score(predictions, examples)
        assert isinstance(score, Score)
        assert all(isinstance(figure, Figure) for figure in score.figures.values())
        figures = ", ".join(score.figures)
        assert made.task.metric in score.figures, f"the metric must be a figure of score, and no measure: {figures}"
        decisive = score.figures[made.task.metric]
        assert isinstance(decisive.value, float | int)
        assert decisive.unit == made.task.unit
        for series in score.series.values():
            assert len(series.x) == len(series.y)
            assert not series.counts or len(series.counts) == len(series.x)
            assert series.x_label
            assert series.y_label
        if isinstance(made.task, Legible):
            assert isinstance(made.task.decode(predictions[0]), str)
            compared = made.task.compare(examples[0], predictions[0])
            assert isinstance(compared, Mapping)
            assert all(isinstance(text, str) for pair in compared.items() for text in pair)
            assert "\n" not in "".join([made.task.decode(predictions[0]), *compared.values()]), "answers are one line"

    def test_padding_never_changes_a_prediction(self, system: str) -> None:
        made = built(system)
        made.model.double()
        examples = made.task.examples("test")[:5]
        together = made.predict(examples)
        assert together == [made.predict([example])[0] for example in examples]

    def test_it_answers_sample_inputs(self, system: str) -> None:
        made = built(system)
        if not isinstance(made.task, Readable):
            pytest.skip("it reads nothing that a user gives")
        assert made.task.accepts
        for raw in made.task.examples_to_type(2):
            assert isinstance(raw, str | bytes)
            example = made.task.read(raw)
            assert all(isinstance(note, str) for note in made.task.notes(example))
            assert len(made.predict([example])) == 1

    def test_the_learned_part_of_the_task_is_saved(self, system: str, tmp_path: Path) -> None:
        made = built(system)
        if not isinstance(made.task, Learning):
            pytest.skip("it learns nothing of the data but the weights")
        made.task.save(tmp_path)
        again: Any = made.recipe.task(made.config, tmp_path)
        again.check_trained(made.config.task)
        assert_same(*(task.collate(task.examples("test")[:2]) for task in (again, task_of(system, "tiny"))))

    def test_its_pictures_can_be_drawn_stored_and_restored(self, system: str) -> None:
        made = built(system)
        if made.recipe.pictures is None:
            pytest.skip("it shows nothing")
        from saccade.explain.pictures import kept, load

        example = made.task.examples("test")[0]
        [prediction] = made.predict([example])
        before = made.model.training
        with torch.inference_mode():  # as in a run
            pictures = made.recipe.pictures(made.answer(example, prediction))
        assert made.model.training == before
        names = [picture.name for picture in pictures]
        assert len(set(names)) == len(names) > 0
        for picture in pictures:
            written = json.loads(json.dumps(kept(picture)))
            assert kept(load(written)) == written
            assert json.dumps(picture.page())
            assert picture.text(80)
            assert picture.description()
        if isinstance(made.task, Replaying):
            assert made.task.labels(made.task.replay(example, prediction))

    def test_its_measures_are_figures(self, system: str) -> None:
        made = built(system)
        if made.recipe.measures is None:
            pytest.skip("it measures nothing that needs the model")
        example = made.task.examples("test")[0]
        [prediction] = made.predict([example])
        with torch.inference_mode():  # as in a run
            found = made.recipe.measures(made.answer(example, prediction))
        assert all(isinstance(figure, Figure) and isinstance(figure.value, float | int) for figure in found.values())
        assert not set(found) & set(made.task.score([prediction], [example]).figures)

    def test_its_steps_have_their_likeliest_symbols(self, system: str) -> None:
        made = built(system)
        if made.recipe.steps is None:
            pytest.skip("it does not write its answer symbol by symbol")
        example = made.task.examples("test")[0]
        [prediction] = made.predict([example])
        with torch.inference_mode():  # as in a run
            steps = made.recipe.steps(made.answer(example, prediction), 3)
        assert steps
        for step in steps:
            values = [value for _, value in step.likeliest]
            assert len(values) == 3
            assert values == sorted(values, reverse=True)
            assert step.log_prob <= values[0] + 1e-6 <= 1e-5

    def test_its_claims_are_about_a_variant_and_a_figure_that_exist(self, system: str) -> None:
        made = built(system)
        smallest = figures_of(made)
        for claim in made.recipe.claims:
            assert claim.variant in made.recipe.variants
            assert (claim.bound is None) == (claim.against in made.recipe.variants)
            assert claim.why
            # a variant may have a task of its own
            figures = smallest if claim.metric in smallest else figures_at_hand(system, claim.variant)
            if figures is None:
                continue
            known = f"the claim is about {claim.metric!r}; the figures of score and the measures: {', '.join(figures)}"
            assert claim.metric in figures, known
            assert isinstance(figures[claim.metric].value, float | int)

    def test_its_size_is_known_before_it_is_built(self, system: str) -> None:
        from saccade.runs.memory import sized

        made, before = built(system), torch.random.get_rng_state()
        weights = dict(sized(lambda: made.recipe.build(made.config, made.task)).named_parameters())
        shapes = {name: weight.shape for name, weight in made.model.named_parameters()}
        assert {name: weight.shape for name, weight in weights.items()} == shapes
        assert {weight.device.type for weight in weights.values()} <= {"meta"}
        assert torch.equal(before, torch.random.get_rng_state())

    def test_its_evidence_describes_the_run(self, system: str) -> None:
        keys = {"system", "variant", "changed", "date", "command", "commit", "versions", "hardware", "seeds",
                "wall_seconds", "paper", "data", "metrics", "claims", "config"}  # fmt: skip
        for found in catalogue.evidence(system):
            assert keys <= set(found)
            assert found["system"] == system
        for path in (catalogue.SYSTEMS / system / "evidence").glob("*.json"):
            assert path.stat().st_size <= MOST, path.name


def detached(carry: Any) -> Any:
    return carry.detach() if isinstance(carry, torch.Tensor) else carry


def assert_same(one: Any, other: Any) -> None:
    """Batches of the same tensors."""
    assert type(one) is type(other)
    for part, twin in zip(one, other, strict=True):
        assert torch.equal(part, twin) if isinstance(part, torch.Tensor) else part == twin


@pytest.mark.parametrize(("system", "variant"), VARIANTS)
def test_a_variant_is_complete_and_survives_yaml_and_flags(system: str, variant: str) -> None:
    config = catalogue.recipe(system).variants[variant]
    assert from_plain(type(config), to_plain(config)) == config
    assert flags.parse(config, []) == config


def whole_numbers(cls: Any, prefix: str = "") -> dict[str, list[Any]]:
    """The integer fields of a nested configuration and their annotations."""
    found: dict[str, list[Any]] = {}
    hints = typing.get_type_hints(cls, include_extras=True)
    for name, field in cls.__pydantic_fields__.items():
        for kind in [field.annotation, *typing.get_args(field.annotation)]:
            found |= whole_numbers(kind, f"{prefix}{name}.") if dataclasses.is_dataclass(kind) else {}
        for part in [hints[name], *typing.get_args(hints[name])]:  # the first member of `Annotated[int, ...] | None`
            base, *metadata = typing.get_args(part) if typing.get_origin(part) is Annotated else (part,)
            if base is int:
                said = [*metadata, *field.metadata]
                found[prefix + name] = [each for one in said for each in getattr(one, "metadata", [one])]
                break
    return found


@pytest.mark.parametrize("system", SYSTEMS)
def test_every_whole_number_of_its_configuration_has_bounds(system: str) -> None:
    for name, metadata in whole_numbers(type(catalogue.recipe(system).config)).items():
        bounds = {bound for each in metadata for bound in ("ge", "gt", "le", "lt") if hasattr(each, bound)}
        assert bounds & {"le", "lt"}, f"{name} has no upper bound"
        assert bounds & {"ge", "gt"}, f"{name} has no lower bound"


@pytest.mark.parametrize("system", SYSTEMS)
def test_every_field_has_help(system: str) -> None:
    def check(record: Any) -> None:
        assert record.__doc__, f"{record.__name__} has no docstring"
        for name, field in record.__pydantic_fields__.items():
            kind = field.annotation
            members = [one for one in typing.get_args(kind) if dataclasses.is_dataclass(one)]
            for one in [kind] if dataclasses.is_dataclass(kind) else members:
                check(one)
            # the name of a record is the choice itself, and a record documents itself
            if name != "name" and not dataclasses.is_dataclass(kind):
                assert field.description, f"{record.__name__}.{name} has no docstring"

    check(type(catalogue.recipe(system).config))
