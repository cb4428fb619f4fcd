"""BERT as a classifier: the same logits as transformers, from and to its checkpoints, and what is trained."""

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from torch.nn import functional as F

from saccade.core.errors import InvalidInput
from saccade.core.pretrained import Weights
from saccade.runs import catalogue
from saccade.systems.bert_classifier.checkpoint import CHECKPOINT
from saccade.systems.bert_classifier.model import BertClassifier, ClassifierConfig
from tests.checkpoints import WORDS, close, opened, randomised, there_and_back, untrained_run, write_words
from tests.conftest import Command

transformers: Any = pytest.importorskip("transformers")
CLASSES = ("bad", "middling", "good")


@pytest.fixture
def made(tmp_path: Path) -> Path:
    folder = tmp_path / "published"
    folder.mkdir()
    torch.manual_seed(1)
    options = transformers.BertConfig(
        vocab_size=write_words(folder), hidden_size=15, num_hidden_layers=2, num_attention_heads=3,
        intermediate_size=31, max_position_embeddings=23, id2label=dict(enumerate(CLASSES)),
        label2id={name: number for number, name in enumerate(CLASSES)},
    )  # fmt: skip
    randomised(transformers.BertForSequenceClassification(options)).save_pretrained(folder)
    return folder


def model_of(pooling: str = "first", trained: str = "all") -> BertClassifier:
    torch.manual_seed(2)
    config = ClassifierConfig(layers=2, model_size=12, heads=3, positions=16, pooling=pooling, trained=trained)  # type: ignore[arg-type]
    return randomised(BertClassifier(config, 31, 3))  # type: ignore[no-any-return]


@pytest.mark.parametrize("exact", [False, True])
def test_padded_sentences_and_gradients_are_those_of_transformers(made: Path, exact: bool) -> None:
    model: Any = opened(made, "--precision", "float64" if exact else "float32").model.eval()
    dtype = torch.float64 if exact else torch.float32
    peer = transformers.BertForSequenceClassification.from_pretrained(made, dtype=dtype).eval()
    symbols = torch.randint(5, len(WORDS), (3, 11), generator=torch.Generator().manual_seed(2))
    mask = torch.arange(11) < torch.tensor([11, 7, 2])[:, None]
    logits = model(symbols, mask)
    found = peer(symbols, attention_mask=mask.long())
    close(logits, found.logits, exact)
    right = torch.tensor([2, 0, 1])
    F.cross_entropy(logits, right).backward()
    F.cross_entropy(found.logits, right).backward()
    named = dict(peer.named_parameters())
    close(model.encoder.symbols.weight.grad[1:], named["bert.embeddings.word_embeddings.weight"].grad[1:], exact)
    close(model.pooler.weight.grad, named["bert.pooler.dense.weight"].grad, exact)
    close(model.output.weight.grad, named["classifier.weight"].grad, exact)


def test_a_classifier_stands_where_a_run_stands(made: Path, tmp_path: Path, saccade: Command) -> None:
    run = opened(made)
    assert (run.system, run.task.classes) == ("bert_classifier", CLASSES)  # type: ignore[attr-defined]
    text = "The king is dying ."
    tokens = transformers.AutoTokenizer.from_pretrained(made)(text, return_tensors="pt")
    logits = transformers.BertForSequenceClassification.from_pretrained(made).eval()(**tokens).logits
    best = CLASSES[int(logits.argmax())]
    assert run.predict(text).text == f"{best} ({float(logits.softmax(-1).max()):.2f})"
    done = saccade("predict", made, text)
    assert done.status == 0, done.err
    assert best in done.out
    there_and_back(made, tmp_path / "again")
    assert opened(tmp_path / "again").task.classes == CLASSES  # type: ignore[attr-defined]


def test_a_run_of_ours_is_read_by_transformers(tmp_path: Path) -> None:
    run = untrained_run("bert_classifier", tmp_path)
    run.export(tmp_path / "out")
    peer = transformers.AutoModelForSequenceClassification.from_pretrained(tmp_path / "out").eval()
    tokens = transformers.AutoTokenizer.from_pretrained(tmp_path / "out")
    assert (tokens.unk_token, tokens.pad_token, tokens.mask_token) == ("[UNK]", "[PAD]", "[MASK]")
    given = tokens("It was not bad.", return_tensors="pt")
    assert given["input_ids"][0].tolist() == run.task.read("It was not bad.").symbols.tolist()  # type: ignore[attr-defined]
    close(run.model(given["input_ids"], given["attention_mask"].bool()), peer(**given).logits, False)
    assert peer.config.id2label == {0: "negative", 1: "positive"}
    with pytest.raises(InvalidInput, match="differs, since it takes the mean of all symbols"):
        untrained_run("bert_classifier", tmp_path, "--model.pooling", "mean").export(tmp_path / "mean")


def test_the_mean_is_over_the_symbols_of_each_sentence() -> None:
    model = model_of("mean").double()
    symbols = torch.randint(31, (2, 7))
    mask = torch.arange(7) < torch.tensor([7, 4])[:, None]
    expected = []
    for row, length in zip(symbols, (7, 4), strict=True):
        features = model.encoder(row[None, :length])[0]
        mean = sum(features[t] for t in range(length)) / length
        expected.append(model.output.weight @ mean + model.output.bias)
    torch.testing.assert_close(model(symbols, mask), torch.stack(expected))


def test_an_encoder_that_is_not_trained_gets_no_gradient_and_has_no_dropout() -> None:
    config = ClassifierConfig(layers=2, model_size=12, heads=3, positions=16, dropout=0.5, trained="output")
    model = BertClassifier(config, 31, 3)
    symbols, mask = torch.randint(31, (2, 7)), torch.ones(2, 7, dtype=torch.bool)
    for _ in ("as built", "asked to train"):
        assert torch.equal(model.encoder(symbols, mask), model.encoder(symbols, mask))
        assert model.training
        model.train()
    model(symbols, mask).sum().backward()  # type: ignore[no-untyped-call]
    touched = {name for name, weight in model.named_parameters() if weight.grad is not None}
    assert touched == {"pooler.weight", "pooler.bias", "output.weight", "output.bias"}
    assert any(weight.requires_grad for weight in model_of().encoder.parameters())


@pytest.mark.unhooked
@pytest.mark.parametrize("given", ["BertForPreTraining", "BertModel", "BertForSequenceClassification"])
def test_a_training_starts_from_any_bert(made: Path, tmp_path: Path, saccade: Command, given: str) -> None:
    peer = getattr(transformers, given).from_pretrained(made)
    peer.config.num_labels = 2
    if given == "BertForSequenceClassification":
        peer = transformers.BertForSequenceClassification(peer.config)
    folder = tmp_path / "bert"
    peer.save_pretrained(folder)
    write_words(folder)
    fields = ["--training.steps", "1", "--training.learning-rate", "1e-12", "--task.reviews", "50"]
    run = tmp_path / "run"
    done = saccade("train", "bert_classifier", "tiny", "--weights", folder, *fields, "--out", run)
    assert done.status == 0, done.err
    assert ("started at random: classifier.weight" in done.err) == (given != "BertForSequenceClassification")
    ours = opened(run).model.state_dict()
    theirs = peer.state_dict()
    prefix = "" if given == "BertModel" else "bert."
    close(ours["encoder.symbols.weight"], theirs[f"{prefix}embeddings.word_embeddings.weight"], False)
    close(ours["pooler.weight"], theirs[f"{prefix}pooler.dense.weight"], False)


@pytest.mark.unhooked
def test_a_training_starts_from_a_run(tmp_path: Path, saccade: Command) -> None:
    fields = ["--training.steps", "1", "--task.reviews", "50"]
    assert saccade("train", "bert_classifier", "tiny", *fields, "--out", tmp_path / "run").status == 0
    again = saccade(
        "train", "bert_classifier", "tiny", "--weights", tmp_path / "run", *fields, "--out", tmp_path / "more"
    )
    assert again.status == 0, again.err


def test_pieces_longer_than_the_positions_are_refused() -> None:
    config = catalogue.recipe("bert_classifier").variants["tiny"]
    with pytest.raises(ValueError, match=r"--task\.longest 49 is more than the model reads"):
        replace(config, task=replace(config.task, longest=49))


def test_the_variants_of_sst2_start_from_the_checkpoint_that_their_symbols_are_of() -> None:
    variants = catalogue.recipe("bert_classifier").variants
    for name in ("sst2", "sst2-output"):
        config: Any = variants[name]
        assert config.weights == Weights(config.task.symbols.vocabulary.parent)
    assert variants["sst2-untrained"].weights is None


@pytest.mark.parametrize(
    "change",
    [{"problem_type": "multi_label_classification"}, {"problem_type": "regression"}, {"id2label": {"0": "LABEL_0"}}],
    ids=str,
)
def test_what_chooses_no_class_is_refused(change: dict[str, Any], tmp_path: Path) -> None:
    own = transformers.BertConfig(architectures=["BertForSequenceClassification"]).to_dict()
    options = {**own, **change}
    (tmp_path / "vocab.txt").write_text("[PAD]\n[UNK]\n[CLS]\n[SEP]\n[MASK]\na\n")
    with pytest.raises(InvalidInput, match=r"problem_type is .* bert_classifier chooses one of at least two"):
        CHECKPOINT.config(options, tmp_path, catalogue.recipe("bert_classifier").config)
