"""RoBERTa from and to checkpoints of Hugging Face: the same logits and gradients, padded; what is refused."""

import shutil
from pathlib import Path
from typing import Any

import pytest
import torch

from saccade.core.errors import InvalidInput
from tests.checkpoints import (
    close,
    opened,
    randomised,
    refused,
    there_and_back,
    untrained_run,
    with_option,
    write_bytes,
)
from tests.conftest import Command

transformers: Any = pytest.importorskip("transformers")
SPECIAL = ("<s>", "<pad>", "</s>", "<unk>")


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("roberta") / "published"
    folder.mkdir()
    torch.manual_seed(1)
    options = transformers.RobertaConfig(
        vocab_size=write_bytes(folder, SPECIAL, ("<mask>",)), hidden_size=15, num_hidden_layers=2,
        num_attention_heads=3, intermediate_size=31, max_position_embeddings=25, type_vocab_size=1,
        layer_norm_eps=1e-5,
    )  # fmt: skip
    randomised(transformers.RobertaForMaskedLM(options)).save_pretrained(folder)
    return folder


@pytest.mark.parametrize("exact", [False, True])
def test_padded_texts_and_gradients_are_those_of_transformers(made: Path, exact: bool) -> None:
    run = opened(made, "--precision", "float64" if exact else "float32")
    model: Any = run.model.eval()
    assert model.longest == 23
    dtype = torch.float64 if exact else torch.float32
    peer = transformers.RobertaForMaskedLM.from_pretrained(made, dtype=dtype).eval()
    symbols = torch.randint(4, 260, (3, 11), generator=torch.Generator().manual_seed(2))
    mask = torch.arange(11) < torch.tensor([11, 7, 2])[:, None]
    symbols[~mask] = 1
    projection, _ = model(symbols, mask)
    found = peer(symbols, attention_mask=mask.long(), output_hidden_states=True)
    close(model.encoder(symbols, mask)[mask], found.hidden_states[-1][mask], exact)
    close(projection.log_probs()[mask], found.logits.log_softmax(-1)[mask], exact)
    projection.log_probs()[mask][:, 7].mean().backward()
    found.logits.log_softmax(-1)[mask][:, 7].mean().backward()
    named = dict(peer.named_parameters())
    places = named["roberta.embeddings.position_embeddings.weight"].grad
    close(model.encoder.positions.weight.grad[2:], places[2:], exact)
    close(model.transform.weight.grad, named["lm_head.dense.weight"].grad, exact)


def test_there_and_back_is_bit_identical(made: Path, tmp_path: Path) -> None:
    there_and_back(made, tmp_path / "again")
    before, after = (transformers.RobertaForMaskedLM.from_pretrained(one) for one in (made, tmp_path / "again"))
    assert all(torch.equal(a, b) for a, b in zip(before.parameters(), after.parameters(), strict=True))
    tokens = transformers.AutoTokenizer.from_pretrained(tmp_path / "again")
    text = "the king in the boat"
    assert tokens(text)["input_ids"] == opened(made).task.observe(text).symbols.tolist()  # type: ignore[attr-defined]
    assert tokens.mask_token == "<mask>"


def test_options_that_are_not_computed(made: Path, tmp_path: Path) -> None:
    for name, value in {"layer_norm_eps": 1e-12, "type_vocab_size": 2, "pad_token_id": 0}.items():
        folder = Path(shutil.copytree(made, tmp_path / name))
        with_option(folder, name, value)
        refused(folder, "config.json", name, repr(value), of=InvalidInput)


def test_the_verbs_take_a_folder(made: Path, tmp_path: Path, saccade: Command) -> None:
    done = saccade("predict", made, "the <mask> in", "--pictures", tmp_path)
    assert done.status == 0, done.err
    done = saccade("explain", "the king", "--model", made, "--pictures", tmp_path)
    assert done.status == 0, done.err
    assert "encoder.stack.blocks.1.attention.weights" in done.out


def test_a_run_of_ours_is_written_with_padding_where_transformers_expects_it(tmp_path: Path) -> None:
    run = untrained_run("roberta", tmp_path)
    text = "We know, <mask> know."
    run.export(tmp_path / "out")
    again = opened(tmp_path / "out")
    assert again.task.symbols.padding == 1  # type: ignore[attr-defined]
    assert again.predict(text).text == run.predict(text).text
    peer = transformers.RobertaForMaskedLM.from_pretrained(tmp_path / "out").eval()
    tokens = transformers.AutoTokenizer.from_pretrained(tmp_path / "out")
    given = tokens([text.replace(" <mask>", "<mask>"), "We"], return_tensors="pt", padding=True)
    mask = given["attention_mask"].bool()
    ours, _ = again.model(given["input_ids"], mask)
    close(ours.log_probs()[mask], peer(**given).logits.log_softmax(-1)[mask], False)
    assert given["input_ids"][0].tolist() == again.task.observe(text).symbols.tolist()  # type: ignore[attr-defined]
