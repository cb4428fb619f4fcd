"""Table 3 of Vaswani et al. 2017: the rows as variants, and the parameters that each adds or saves."""

from types import SimpleNamespace

import pytest
import torch
from pydantic import ValidationError

from saccade.core.config import from_plain, to_plain
from saccade.core.errors import InvalidInput
from saccade.systems.transformer.recipe import RECIPE, Config, predict, rows
from saccade.tasks.translation import Batch
from saccade.training.optimizers import rate_at

SYMBOLS, D, FF, LAYERS = 37_000, 512, 2048, 6
PROJECTIONS, NORM, FEED_FORWARD = 4 * D * D, 2 * D, 2 * D * FF + FF + D
LAYER = (PROJECTIONS + FEED_FORWARD + 2 * NORM) + (2 * PROJECTIONS + FEED_FORWARD + 3 * NORM)


def parameters(variant: str) -> int:
    symbols = range(RECIPE.variants[variant].task.vocabulary_size)
    with torch.device("meta"):
        model = RECIPE.build(RECIPE.variants[variant], SimpleNamespace(source=symbols, target=symbols))
    assert all(parameter.is_meta for parameter in model.parameters())
    return sum(parameter.numel() for parameter in model.parameters())


def test_the_base_model_has_the_papers_sizes() -> None:
    # the paper's 65 million depend on a vocabulary that it does not give exactly
    assert parameters("base") == SYMBOLS * D + SYMBOLS + LAYERS * LAYER
    assert round(parameters("base") / 1e6, 1) == 63.1


def test_the_big_model_has_the_papers_sizes() -> None:
    assert round(parameters("big") / 1e6) == 214  # 213 in the paper


@pytest.mark.parametrize(
    ("row", "exact", "millions"),
    [
        ("a-h1", 0, 0.0),
        ("a-h4", 0, 0.0),
        ("a-h16", 0, 0.0),
        ("a-h32", 0, 0.0),
        ("b-dk16", -3 * LAYERS * 2 * D * 8 * 48, -7.08),
        ("b-dk32", -3 * LAYERS * 2 * D * 8 * 32, -4.72),
        ("c-n2", -4 * LAYER, -29.40),
        ("c-n4", -2 * LAYER, -14.70),
        ("c-n8", 2 * LAYER, 14.70),
        ("c-ff1024", -2 * LAYERS * 1024 * (2 * D + 1), -12.60),
        ("c-ff4096", 2 * LAYERS * 2048 * (2 * D + 1), 25.19),
        ("d-drop0", 0, 0.0),
        ("d-drop2", 0, 0.0),
        ("d-ls0", 0, 0.0),
        ("d-ls2", 0, 0.0),
        ("e-learned", 2 * 512 * D, 0.52),
    ],
)
def test_a_row_changes_the_number_of_parameters_as_stated(row: str, exact: int, millions: float) -> None:
    """Projections have no biases, but feed-forward layers do; with biases b-dk16 would save 7.09 million."""
    found = parameters(f"row-{row}") - parameters("base")
    assert found == exact
    assert round(found / 1e6, 2) == millions


@pytest.mark.parametrize(("row", "width"), [("c-d256", 256), ("c-d1024", 1024)])
def test_rows_at_another_width(row: str, width: int) -> None:
    encoder = 4 * width**2 + 2 * width * FF + FF + width + 2 * 2 * width
    decoder = 8 * width**2 + 2 * width * FF + FF + width + 3 * 2 * width
    assert parameters(f"row-{row}") == SYMBOLS * (width + 1) + LAYERS * (encoder + decoder)


def test_every_row_of_the_table_exists_in_both_sizes() -> None:
    named = set(rows(RECIPE.variants["base"]))
    assert len(named) == 4 + 2 + 7 + 4 + 1
    assert {f"row-{name}" for name in named} | {f"small-row-{name}" for name in named} <= set(RECIPE.variants)
    assert len({str(to_plain(config)) for config in RECIPE.variants.values()}) == len(RECIPE.variants)


DECK = {  # N, d_model, d_ff, h, d_k, d_v, P_drop, label smoothing, positions
    "base": (6, 512, 2048, 8, 64, 64, 0.1, 0.1, "sinusoidal"),
    "row-a-h1": (6, 512, 2048, 1, 512, 512, 0.1, 0.1, "sinusoidal"),
    "row-a-h4": (6, 512, 2048, 4, 128, 128, 0.1, 0.1, "sinusoidal"),
    "row-a-h16": (6, 512, 2048, 16, 32, 32, 0.1, 0.1, "sinusoidal"),
    "row-a-h32": (6, 512, 2048, 32, 16, 16, 0.1, 0.1, "sinusoidal"),
    "row-b-dk16": (6, 512, 2048, 8, 16, 64, 0.1, 0.1, "sinusoidal"),
    "row-b-dk32": (6, 512, 2048, 8, 32, 64, 0.1, 0.1, "sinusoidal"),
    "row-c-n2": (2, 512, 2048, 8, 64, 64, 0.1, 0.1, "sinusoidal"),
    "row-c-n4": (4, 512, 2048, 8, 64, 64, 0.1, 0.1, "sinusoidal"),
    "row-c-n8": (8, 512, 2048, 8, 64, 64, 0.1, 0.1, "sinusoidal"),
    "row-c-d256": (6, 256, 2048, 8, 32, 32, 0.1, 0.1, "sinusoidal"),
    "row-c-d1024": (6, 1024, 2048, 8, 128, 128, 0.1, 0.1, "sinusoidal"),
    "row-c-ff1024": (6, 512, 1024, 8, 64, 64, 0.1, 0.1, "sinusoidal"),
    "row-c-ff4096": (6, 512, 4096, 8, 64, 64, 0.1, 0.1, "sinusoidal"),
    "row-d-drop0": (6, 512, 2048, 8, 64, 64, 0.0, 0.1, "sinusoidal"),
    "row-d-drop2": (6, 512, 2048, 8, 64, 64, 0.2, 0.1, "sinusoidal"),
    "row-d-ls0": (6, 512, 2048, 8, 64, 64, 0.1, 0.0, "sinusoidal"),
    "row-d-ls2": (6, 512, 2048, 8, 64, 64, 0.1, 0.2, "sinusoidal"),
    "row-e-learned": (6, 512, 2048, 8, 64, 64, 0.1, 0.1, "learned"),
    "big": (6, 1024, 4096, 16, 64, 64, 0.3, 0.1, "sinusoidal"),
}


@pytest.mark.parametrize("variant", DECK)
def test_a_variant_equals_its_row_of_the_table(variant: str) -> None:
    config = RECIPE.variants[variant]
    m = config.model
    head = m.model_size // m.heads
    found = (m.layers, m.model_size, m.hidden_size, m.heads, m.head_size or head, m.value_size or head, m.dropout,
             config.task.label_smoothing, m.positions.name)  # fmt: skip
    assert found == DECK[variant]
    assert m.norm == "post"
    assert m.tie == "all"


@pytest.mark.parametrize("variant", ["base", "big", "row-c-d256", "row-c-d1024", "row-a-h1"])
def test_the_rate_is_that_of_equation_3(variant: str) -> None:
    """d^-0.5 min(s^-0.5, s w^-1.5) with w = 4000; the first step is s = 1."""
    config = RECIPE.variants[variant]
    for step in (1, 100, 4000, 4001, 50_000):
        expected = config.model.model_size**-0.5 * min(step**-0.5, step * 4000**-1.5)
        found = config.training.learning_rate * rate_at(config.training, step - 1)
        assert found == pytest.approx(expected, rel=1e-9)


def test_every_variant_is_a_row_of_the_table() -> None:
    assert {f"row-{name}" for name in rows(RECIPE.variants["base"])} | {"base", "big"} == set(DECK)


def test_three_matrices_are_one() -> None:
    config = RECIPE.variants["tiny"]
    model = RECIPE.build(config, SimpleNamespace(source=range(11), target=range(11)))
    assert model.source_embedding.weight is model.target_embedding.weight is model.output.weight


def test_tying_all_requires_a_shared_vocabulary() -> None:
    plain = to_plain(Config())
    plain["task"]["shared_vocabulary"] = False
    with pytest.raises(ValidationError, match=r"needs --task.shared-vocabulary true"):
        from_plain(Config, plain)


def test_heads_that_do_not_divide_the_width_are_refused_when_configured() -> None:
    plain = to_plain(Config())
    plain["model"]["heads"] = 7
    with pytest.raises(ValidationError, match="7 heads do not divide a model-size of 256"):
        from_plain(Config, plain)


def test_a_sentence_longer_than_the_positions_is_refused_and_an_answer_ends_before() -> None:
    plain = to_plain(RECIPE.variants["tiny"])
    plain["model"]["positions"] = {"name": "learned", "longest": 7}
    config = from_plain(Config, plain)
    model = RECIPE.build(config, SimpleNamespace(source=range(11), target=range(11))).eval()

    def batch(length: int) -> Batch:
        source = torch.full((1, length), 5)
        return Batch(source, source != 0, source, source)

    assert len(predict(model, batch(7), config)[0]) <= 7
    with pytest.raises(InvalidInput, match="a sequence of 8 symbols is longer than the 7 positions"):
        predict(model, batch(8), config)
