"""XLNet from and to checkpoints of Hugging Face: the same logits and gradients, its pieces, what is refused."""

import shutil
from pathlib import Path
from typing import Any

import pytest
import torch

from saccade.core.errors import InvalidInput, NotFound
from saccade.systems.xlnet.orders import draw
from tests.checkpoints import close, opened, randomised, refused, there_and_back, untrained_run, with_option
from tests.conftest import Command
from tests.systems.test_xlnet_peer import permutation

transformers: Any = pytest.importorskip("transformers")
tokenizers: Any = pytest.importorskip("tokenizers")
NAMES = ("<unk>", "<s>", "</s>", "<cls>", "<sep>", "<pad>", "<mask>", "▁the", "▁king", "s", "▁is", "▁dead", "▁", ".")


def write_unigrams(folder: Path) -> int:
    """tokenizer.json as SentencePiece's model is converted; returns the number of pieces."""
    letters = [letter for letter in "abcdefghijklmnopqrstuvwxyz" if letter not in NAMES]
    pieces = [(name, -float(number)) for number, name in enumerate([*NAMES, *letters])]
    made = tokenizers.Tokenizer(tokenizers.models.Unigram(pieces, unk_id=0))
    made.pre_tokenizer = tokenizers.pre_tokenizers.Metaspace()
    made.decoder = tokenizers.decoders.Metaspace()
    made.enable_truncation(3)
    made.save(str(folder / "tokenizer.json"))
    return len(pieces)


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("xlnet") / "published"
    folder.mkdir()
    torch.manual_seed(1)
    options = transformers.XLNetConfig(
        vocab_size=write_unigrams(folder), d_model=12, n_layer=2, n_head=3, d_inner=17, dropout=0.0
    )
    randomised(transformers.XLNetLMHeadModel(options), 0.3).save_pretrained(folder)
    return folder


@pytest.fixture
def folder(made: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(made, tmp_path / "published"))


def test_permuted_windows_and_gradients_are_those_of_transformers(made: Path) -> None:
    run = opened(made)
    model: Any = run.model.eval()
    peer = transformers.XLNetLMHeadModel.from_pretrained(made).eval()
    symbols, order = torch.randint(len(NAMES), (2, 7)), draw(2, 7, 3)
    seen, targets = (part.float() for part in permutation(order))
    segments = torch.tensor([[0, 0, 0, 1, 1, 1, 1], [0, 1, 1, 1, 1, 1, 1]])
    found = peer(symbols, perm_mask=seen, target_mapping=targets, token_type_ids=segments).logits
    streams, _ = model.permuted(symbols, order, None, torch.ones(2, 7, dtype=torch.bool), segments)
    ours = model.project(streams.query).logits()
    close(ours, found, False)
    ours.mean().backward()
    found.mean().backward()
    theirs = dict(peer.named_parameters())
    close(model.embedding.weight.grad, theirs["transformer.word_embedding.weight"].grad, False)
    close(model.unknown.grad, theirs["transformer.mask_emb"].grad.flatten(), False)


def test_there_and_back_is_bit_identical(made: Path, tmp_path: Path) -> None:
    there_and_back(made, tmp_path / "again")
    before, after = (transformers.XLNetLMHeadModel.from_pretrained(one) for one in (made, tmp_path / "again"))
    assert all(torch.equal(a, b) for a, b in zip(before.parameters(), after.parameters(), strict=True))
    text = "the kings is dead."
    tokens = transformers.AutoTokenizer.from_pretrained(tmp_path / "again")
    symbols: Any = opened(made).task.symbols  # type: ignore[attr-defined]
    assert tokens(text)["input_ids"] == symbols.encode(text).tolist()
    assert [symbols.names[one] for one in symbols.encode(text)] == ["▁the", "▁king", "s", "▁is", "▁dead", "."]
    assert symbols.decode(symbols.encode(text).tolist()) == f" {text}"
    assert symbols.lengths(symbols.encode(text).tolist()) == (19, 19)
    assert (tokens.sep_token, tokens.pad_token) == ("<sep>", "<pad>")


def test_a_run_of_ours_is_read_by_transformers(tmp_path: Path) -> None:
    fields = ["--task.symbols", "byte-pieces", "--task.byte-pieces.size", "300", "--model.segments", "true"]
    run: Any = untrained_run("xlnet", tmp_path, *fields)
    run.export(tmp_path / "out")
    peer = transformers.XLNetLMHeadModel.from_pretrained(tmp_path / "out").eval()
    tokens = transformers.AutoTokenizer.from_pretrained(tmp_path / "out")
    symbols = tokens("First Citizen:", return_tensors="pt")["input_ids"]
    order = draw(1, symbols.shape[1], symbols.shape[1])
    seen, targets = (part.float() for part in permutation(order))
    streams, _ = run.model.permuted(symbols, order, None, torch.ones_like(symbols, dtype=torch.bool))
    close(
        run.model.project(streams.query).logits(), peer(symbols, perm_mask=seen, target_mapping=targets).logits, False
    )
    with pytest.raises(InvalidInput, match="the symbols of this run are characters"):
        untrained_run("xlnet", tmp_path).export(tmp_path / "other")


def test_the_verbs_take_a_folder(made: Path, tmp_path: Path, saccade: Command) -> None:
    found = saccade("predict", made, "the king", "--writing.length", "3", "--pictures", tmp_path / "pictures")
    assert found.status == 0, found.err
    assert "the king" in found.out
    text = tmp_path / "text.txt"
    text.write_text("the king is dead.\n" * 200)
    fields = ["--task.file", text, "--task.window", "16", "--task.context", "8", "--training.steps", "1"]
    done = saccade("train", "xlnet", "tiny", "--weights", made, *fields, "--out", tmp_path / "run")
    assert done.status == 0, done.err


def test_what_is_refused(folder: Path) -> None:
    for name, value in {"attn_type": "uni", "clamp_len": 5, "same_length": True, "ff_activation": "relu"}.items():
        shutil.copy(folder / "config.json", folder / "kept.json")
        with_option(folder, name, value)
        refused(folder, "config.json", name, repr(value), of=InvalidInput)
        shutil.move(folder / "kept.json", folder / "config.json")
    (folder / "tokenizer.json").write_text('{"model": {"type": "BPE", "vocab": {}}}')
    refused(folder, "expected pieces of the kind Unigram, not BPE", of=InvalidInput)
    (folder / "tokenizer.json").unlink()
    refused(folder, "has no tokenizer.json", of=NotFound)
