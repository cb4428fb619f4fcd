"""The task: batches, the standard objective, the score."""

from pathlib import Path
from typing import Any

import pytest
import torch
from sacrebleu.metrics import BLEU
from torch import nn
from torch.nn import functional as F

from saccade.core.errors import InvalidInput
from saccade.core.task import Learning, Legible, Readable, Replaying, Size, Sized, Task
from saccade.nets.projection import Projection
from saccade.tasks.translation import TranslationConfig, TranslationTask
from saccade.tasks.translation.metric import bleu, bleu_by_length, tokenizer_for
from saccade.tasks.translation.objective import cross_entropy
from saccade.tasks.translation.vocabulary import END, PAD, START, UNKNOWN


@pytest.fixture(scope="module")
def task() -> TranslationTask:
    return TranslationTask(TranslationConfig(limit=500, vocabulary_size=200))


def test_a_batch_is_padded_shifted_and_masked(task: TranslationTask) -> None:
    examples = task.examples("train")[:7]
    batch = task.collate(examples)
    for row, example in enumerate(examples):
        target = len(example.target)
        assert batch.source[row, : len(example.source)].tolist() == example.source
        assert example.source[-1] == END
        assert batch.source_mask[row].sum() == len(example.source)
        assert batch.target_inputs[row, : target + 1].tolist() == [START, *example.target]
        assert batch.targets[row, : target + 1].tolist() == [*example.target, END]
        assert (batch.targets[row, target + 1 :] == PAD).all()


def test_the_objective_is_the_mean_over_symbols_without_padding(task: TranslationTask) -> None:
    class Constant(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.features, self.weight = torch.randn(7, 1, 3), torch.randn(len(task.target), 3)

        def forward(self, source: torch.Tensor, mask: torch.Tensor, inputs: torch.Tensor) -> Projection:
            features = self.features.expand(-1, inputs.shape[1], -1)
            return Projection(features, self.weight, torch.zeros(len(task.target)))

    model, batch = Constant().eval(), task.collate(task.examples("train")[:7])
    loss = cross_entropy(model, batch, 0)
    total = 0.0
    for row in range(7):
        log_probs = F.log_softmax(model.weight @ model.features[row, 0], 0)
        for symbol in batch.targets[row].tolist():
            total -= float(log_probs[symbol]) if symbol != PAD else 0.0
    tokens = int((batch.targets != PAD).sum())
    assert {name: int(part.count) for name, part in loss.parts.items()} == {"nats": tokens}
    assert float(loss.value) == pytest.approx(total / tokens, rel=1e-5)
    smooth = batch._replace(label_smoothing=0.1)
    assert torch.equal(cross_entropy(model, smooth, 0).value, loss.value)  # in evaluation nothing is smoothed
    assert not torch.equal(cross_entropy(model.train(), smooth, 0).value, loss.value)


def test_the_batch_carries_the_label_smoothing_of_the_configuration() -> None:
    task = TranslationTask(TranslationConfig(limit=300, vocabulary_size=200, label_smoothing=0.1))
    assert task.collate(task.examples("train")[:2]).label_smoothing == 0.1


def test_it_is_a_task_and_can_do_what_a_text_needs(task: TranslationTask) -> None:
    for protocol in (Task, Sized, Legible, Readable, Learning, Replaying):
        assert isinstance(task, protocol)
    assert (task.metric, task.direction, task.unit, task.accepts) == ("bleu", "max", "", ("text",))
    example = task.examples("test")[0]
    assert task.size(example) == Size(len(example.source), len(example.target) + 1)
    assert task.examples_to_type(3) == [example.source_text for example in task.examples("test")[:3]]


def test_the_score_of_the_references_is_100(task: TranslationTask) -> None:
    examples = task.examples("train")[:50]
    figures, series = task.score([example.target for example in examples], examples)
    assert figures["bleu"].value == pytest.approx(100)
    assert figures["bleu"].name == "BLEU"
    assert figures["chrf"].value == pytest.approx(100)
    assert figures["sentences"].value == 50
    by_length = series["by_length"]
    assert sum(by_length.counts) == 50
    assert len(by_length.x) == len(by_length.y) == len(by_length.counts)
    assert (by_length.x_label, by_length.y_label, by_length.kind) == ("words of the source", "BLEU", "curve")
    signature = str(figures["signature"].value)
    assert "tok:13a" in signature
    assert "case:mixed" in signature


def test_bleu_equals_sacrebleu_also_by_length() -> None:
    ours, references = ["a cat sat here", "the dog ran away fast"], ["a cat sat there", "the dog ran away now"]
    assert bleu(ours, references)[0] == BLEU().corpus_score(ours, [references]).score
    rows = bleu_by_length(ours, references, ["one two", "one two three four five"])
    assert [(row["words"], row["sentences"]) for row in rows] == [("1-2", 1), ("5-6", 1)]
    assert rows[0]["bleu"] == bleu(ours[:1], references[:1])[0]
    # perfect answers without 4-grams have a perfect score
    assert bleu_by_length(["yes"], ["yes"], ["oui"])[0]["bleu"] == pytest.approx(100)


CHINESE = ["我今天去学校了。", "他昨天买了三本书。"]
JAPANESE = ["彼女はコーヒーが好きではありません。"]
THAI = ["ฉันไปโรงเรียน"]


@pytest.mark.parametrize(
    ("references", "expected"),
    [(CHINESE, "zh"), (JAPANESE, "char"), (THAI, "char"), (["Le chat dort."], "13a"),
     (["The character 学 means learning."], "13a"), (["3.5 % !"], "13a"),
     (["나는 학교에 간다."], "13a"), (["Кот спит."], "13a")],
)  # fmt: skip
def test_the_tokenizer_is_that_of_the_script(
    monkeypatch: pytest.MonkeyPatch, references: list[str], expected: str
) -> None:
    monkeypatch.setattr("saccade.tasks.translation.metric.find_spec", lambda name: None)
    ours = [text[:-3] + text[-2:] for text in references]
    score, signature = bleu(ours, references)
    assert score == BLEU(tokenize=expected).corpus_score(ours, [references]).score
    assert f"tok:{expected}|" in signature
    assert ("pip install 'sacrebleu[ja]'" in signature) == (references == JAPANESE)
    if references == JAPANESE:
        monkeypatch.setattr("saccade.tasks.translation.metric.find_spec", lambda name: object())
        assert tokenizer_for(references) == ("ja-mecab", "")
        assert tokenizer_for([*references, *40 * CHINESE]) == ("zh", "")


def test_lengths_are_in_words_or_in_the_tokens_of_a_script_without_spaces() -> None:
    rows = bleu_by_length(["a b c d"], ["a b c d"], ["我今天去学校" * 3])
    assert [(row["words"], row["sentences"]) for row in rows] == [("16-20", 1)]
    # a range may contain sentences of another script; it has the same tokenizer
    rows = bleu_by_length(["OK OK", CHINESE[1]], ["OK OK", CHINESE[1]], ["one", "one two three"])
    assert [row["bleu"] for row in rows] == pytest.approx([100, 100])


def test_the_tokenizer_is_configurable_and_in_the_signature(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "pairs.tsv"
    path.write_text("".join(f"sentence {i}\t{CHINESE[i % 2]}\n" for i in range(10)), encoding="utf-8")
    given: dict[str, Any] = dict.fromkeys(("train", "validation", "test"), (path,))
    for setting, expected in (("auto", "zh"), ("char", "char"), ("none", "none")):
        task = TranslationTask(TranslationConfig(**given, bleu_tokenizer=setting))
        examples = task.examples("test")
        figures = task.score([example.target for example in examples], examples).figures
        assert f"tok:{expected}|" in str(figures["signature"].value)
        assert figures["bleu"].value == pytest.approx(100 if setting != "none" else 0)
    monkeypatch.setattr("saccade.tasks.translation.metric.find_spec", lambda name: None)
    with pytest.raises(InvalidInput, match=r"ja-mecab needs a package: pip install 'sacrebleu\[ja\]'"):
        TranslationTask(TranslationConfig(**given, bleu_tokenizer="ja-mecab"))  # before training, not at its end


def test_sentences_without_unknown_words_are_scored_separately() -> None:
    task = TranslationTask(TranslationConfig(limit=300, vocabulary="word", vocabulary_size=400))
    examples = task.examples("test")
    score = task.score([example.target for example in examples], examples)
    figures: dict[str, Any] = {name: figure.value for name, figure in score.figures.items()}
    known = [e for e in examples if 1 not in e.source and 1 not in e.target]
    assert 0 < figures["sentences_no_unknown"] == len(known) < 300
    assert figures["bleu_no_unknown"] == pytest.approx(100)
    assert figures["bleu"] < 100


def test_an_unknown_symbol_is_one_wrong_word() -> None:
    """Same score as for any other wrong word, although 13a splits "<unk>" into three."""
    task = TranslationTask(TranslationConfig(limit=300, vocabulary="word", vocabulary_size=400))
    examples = [e for e in task.examples("test") if UNKNOWN not in (*e.source, *e.target)]
    pieces = task.target.pieces(range(len(task.target)))
    words = [symbol for symbol, piece in enumerate(pieces) if piece.removeprefix("▁").isalpha()]
    others = [next(word for word in words if word not in e.target) for e in examples]

    def score(wrong: list[int]) -> float:
        answers = [[word, *e.target[1:]] for word, e in zip(wrong, examples, strict=True)]
        return float(task.score(answers, examples).figures["bleu"].value or 0)

    assert score([UNKNOWN] * len(examples)) == pytest.approx(score(others))
    assert 0 < score(others) < 90


def test_vocabularies_do_not_depend_on_the_test_split(tmp_path: Path) -> None:
    files = {}
    for split, word in (("train", "seen"), ("validation", "held"), ("test", "hidden")):
        files[split] = (tmp_path / f"{split}.tsv",)
        files[split][0].write_text(f"{word} {word}\t{word}\n" * 3)
    task = TranslationTask(TranslationConfig(vocabulary="word", **files))
    assert task.source.unknown("seen hidden held") == ["hidden", "held"]


def test_missing_splits_of_own_data_are_held_out(tmp_path: Path) -> None:
    path = tmp_path / "pairs.tsv"
    path.write_text("".join(f"source {i}\ttarget {i}\n" for i in range(100)))
    task = TranslationTask(TranslationConfig(train=(path,), vocabulary_size=100))
    sizes = task.describe()["pairs"]
    assert sizes == {"train": 91, "validation": 5, "test": 4}
    assert "left out" not in task.describe()["data"]
    pairs = [pair for split in task.pairs.values() for pair in split]
    assert len(set(pairs)) == len(pairs) == 100


@pytest.mark.parametrize("lowercase", [False, True])
def test_held_out_pairs_are_not_in_training_and_dropped_pairs_are_reported(tmp_path: Path, lowercase: bool) -> None:
    path = tmp_path / "pairs.tsv"
    rows = [f"{word} {i}\ttarget {i} {word}\n" for i in range(100) for word in ("one", "One", "two")]
    rows += [f"one {i}\tagain {i}\n" for i in range(0, 100, 2)]
    path.write_text("".join(rows))
    task = TranslationTask(TranslationConfig(train=(path,), vocabulary_size=100, lowercase=lowercase))
    seen: set[str] = set()
    for split in ("train", "validation", "test"):
        own = {text.lower() if lowercase else text for pair in task.pairs[split] for text in pair}
        assert not seen & own
        seen |= own
    left_out = len(rows) - sum(map(len, task.pairs.values()))
    assert left_out > 0
    assert task.describe()["data"].endswith(
        f"({left_out} training pairs that share a side with a held-out pair left out)"
    )


def test_assets_are_enough_to_predict(task: TranslationTask, tmp_path: Path) -> None:
    task.save(tmp_path)
    gone = TranslationConfig(train=(tmp_path / "gone.tsv",))
    loaded = TranslationTask(gone, tmp_path)
    assert loaded.read("Go home.") == task.read("Go home.")
    assert loaded.decode(task.target.encode("Rentre.")) == "Rentre."


def test_an_input_that_cannot_be_read_and_an_unknown_split_raise(task: TranslationTask) -> None:
    with pytest.raises(InvalidInput, match="input is empty"):
        task.read(" \n")
    with pytest.raises(InvalidInput, match="not a file"):
        task.read(b"RIFF")
    assert task.read("a " * 1000).source_text
    with pytest.raises(InvalidInput, match="at most 2,000 characters, got 2,001; split it"):
        task.read("a" * 2001)
    with pytest.raises(InvalidInput, match="there are train, validation, test"):
        task.examples("dev")


def test_a_typed_sentence_is_composed_like_the_data(task: TranslationTask) -> None:
    assert task.read("Je suis fatigue\u0301.") == task.read("Je suis fatigu\u00e9.")


def test_validation_and_test_can_be_limited_separately() -> None:
    sizes = {"train": 500, "validation": 30, "test": 30}
    task = TranslationTask(TranslationConfig(limit=500, judged=30, vocabulary_size=200))
    assert {split: len(task.examples(split)) for split in sizes} == sizes
    assert len(TranslationTask(TranslationConfig(limit=20, judged=30, vocabulary_size=200)).examples("test")) == 20
    whole = TranslationTask(TranslationConfig(limit=500, vocabulary_size=200))
    assert task.examples("test") == whole.examples("test")[:30]


def test_neighbouring_pairs_can_be_joined() -> None:
    plain, task = (TranslationTask(TranslationConfig(limit=300, vocabulary_size=200, joined=n)) for n in (1, 3))
    for side in (0, 1):
        assert " ".join(pair[side] for pair in task.pairs["train"]) == " ".join(p[side] for p in plain.pairs["train"])
    assert 110 < len(task.pairs["train"]) < 200
    longest = [max(len(pair[0]) for pair in each.pairs["train"]) for each in (plain, task)]
    assert longest[1] > 1.5 * longest[0]
    assert task.pairs["train"] == TranslationTask(task.config).pairs["train"]
    for split in ("validation", "test"):
        assert task.pairs[split] == plain.pairs[split]


def test_a_folder_and_languages_need_a_corpus_that_has_them() -> None:
    with pytest.raises(ValueError, match=r"folder is set, but corpus is 'tatoeba'; type --task\.corpus folder"):
        TranslationConfig(folder=Path("x"))
    with pytest.raises(ValueError, match="languages are en fr, but corpus is 'tatoeba'"):
        TranslationConfig(languages=("en", "fr"))
    with pytest.raises(ValueError, match="languages must differ; both are 'en'"):
        TranslationConfig(corpus="multi30k", languages=("en", "en"))
