"""Pieces of words: against Hugging Face's tokenizers from the same files, and every text comes back."""

import json
import math
from pathlib import Path
from typing import Any

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from pydantic import ValidationError

from saccade.core.errors import InvalidInput, NotFound
from saccade.tasks.text import BytePieces, TextConfig, TextTask, WordPieces, Written
from saccade.tasks.text.corpus import embedded, parts
from saccade.tasks.text.pieces import BytePieceSymbols, WordPieceSymbols
from saccade.tasks.text.symbols import ByteSymbols, CharacterSymbols, Symbols, restored, texts_of
from saccade.tasks.text.tokenizer_files import byte_pieces_of, word_pieces_of, write_pieces
from saccade.tasks.text.vocabulary import from_files, from_list, learned

pytest.importorskip("tokenizers")
TEXT = embedded()[:60_000].rpartition("\n")[0] + "\n"
SAMPLES = [
    "First Citizen:\nBefore we proceed", "  two  spaces\n\n\n and\ttabs \n x", "naïve café 北京 🎉", "don't we'll 1234",
    " ", "\n", "a\n \nb", "<|endoftext|> [SEP] [MASK]", "É\u00a0ç\u2003x",
]  # fmt: skip


@pytest.fixture(scope="module")
def pieces() -> Any:
    return learned(BytePieces(size=400), TEXT)


@pytest.fixture(scope="module")
def words() -> Any:
    return learned(WordPieces(size=300), TEXT)


@pytest.fixture(scope="module")
def gpt2(pieces: Any, tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    """Files of GPT-2's form, with its special piece last."""
    folder = tmp_path_factory.mktemp("gpt2")
    model = pieces.plain()["tokenizer"]["model"]
    vocabulary = {**model["vocab"], "<|endoftext|>": len(model["vocab"])}
    (folder / "vocab.json").write_text(json.dumps(vocabulary), encoding="utf-8")
    lines = [" ".join(pair) if isinstance(pair, list) else pair for pair in model["merges"]]
    (folder / "merges.txt").write_text("\n".join(["#version: 0.2", *lines, ""]), encoding="utf-8")
    return folder / "vocab.json", folder / "merges.txt"


@pytest.fixture(scope="module")
def bert(words: Any, tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("bert") / "vocab.txt"
    path.write_text("\n".join([*words.names, ""]), encoding="utf-8")
    return path


def test_both_are_schemes_of_symbols(pieces: Any, words: Any) -> None:
    assert isinstance(pieces, Symbols)
    assert isinstance(words, Symbols)
    assert len(pieces.names) == 400
    assert len(words.names) <= 300
    assert pieces.names[:3] == ["!", '"', "#"]  # as in GPT-2
    assert words.names[:5] == ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]"]
    assert words.special == {"[PAD]": 0, "[UNK]": 1, "[CLS]": 2, "[SEP]": 3, "[MASK]": 4}


@pytest.mark.parametrize("chosen", [BytePieces(size=350), WordPieces(size=250)], ids=lambda chosen: chosen.name)
def test_the_same_text_gives_the_same_pieces(chosen: Any) -> None:
    one, other = learned(chosen, TEXT), learned(chosen, TEXT)
    assert one.plain() == other.plain()
    assert one.names == other.names


def test_pieces_are_learned_from_the_training_part(pieces: Any) -> None:
    train = TEXT[: parts(len(TEXT))["train"].stop]
    assert learned(BytePieces(size=400), train + "qqqq " * ((len(TEXT) - len(train)) // 5 + 1)).names == pieces.names


@settings(max_examples=100, deadline=None)
@given(text=st.text(st.characters(exclude_categories=["Cs"])))
def test_every_text_survives_byte_level_pieces(pieces: Any, text: str) -> None:
    for symbols in (pieces, restored(json.loads(json.dumps(pieces.plain())))):
        found = symbols.encode(text).tolist()
        assert symbols.decode(found) == text
        assert symbols.lengths(found) == (len(text), len(text.encode("utf-8")))
        assert found == symbols.tokenizer.encode(text, add_special_tokens=False).ids  # as without a cut into lines


def test_gpt2s_files_give_hugging_faces_tokens(gpt2: tuple[Path, Path]) -> None:
    from transformers import GPT2Tokenizer

    ours, theirs = from_files(*gpt2), GPT2Tokenizer(*map(str, gpt2))
    assert ours.special == {"<|endoftext|>": 400}
    for text in [*SAMPLES[:7], SAMPLES[8], TEXT[:2000]]:
        assert ours.encode(text).tolist() == theirs.encode(text, add_special_tokens=False)
    # a special piece is not read from a text, which would end it
    assert 400 not in ours.encode("<|endoftext|>").tolist()
    assert ours.decode(ours.encode("<|endoftext|>").tolist()) == "<|endoftext|>"


@pytest.mark.parametrize("lowercase", [True, False])
def test_berts_file_gives_hugging_faces_tokens(bert: Path, lowercase: bool) -> None:
    from transformers import BertTokenizer

    ours, theirs = from_list(bert, lowercase), BertTokenizer(str(bert), do_lower_case=lowercase)
    for text in [*SAMPLES[:7], SAMPLES[8], TEXT[:2000]]:
        assert ours.encode(text).tolist() == theirs.encode(text, add_special_tokens=False)
    assert 3 not in ours.encode("[SEP]").tolist()


@pytest.mark.parametrize("text", ["😀😀 hello 日本\n\n x", "the king speaks", "", " the ", "a\n\nb \nthe king."])
def test_words_stand_for_the_characters_of_the_text(text: str, words: Any) -> None:
    found = words.sizes(text)
    assert len(found) == len(words.encode(text))
    if len(found):
        assert found.sum(0).tolist() == [len(text), len(text.encode())]
        assert (found >= 0).all()


def test_bits_a_character_are_of_the_characters_of_the_text() -> None:
    task = TextTask(TextConfig(symbols=WordPieces(size=500), limit=30_000, window=16, context=16))
    span = parts(len(task.text))["test"]
    text = task.text[span.start : span.stop]
    examples = task.examples("test")
    assert sum(one.characters for one in examples) == len(text)
    assert sum(one.size for one in examples) == len(text.encode())


@given(st.text(max_size=30))
def test_the_texts_of_symbols_are_the_whole(text: str) -> None:
    symbols = CharacterSymbols("".join(sorted(set(text))) or "a")
    found = symbols.encode(text).tolist()
    assert "".join(texts_of(symbols, found)) == text
    assert texts_of(ByteSymbols(), list("aé".encode()))[0] == "a"


def test_words_are_decoded_without_marks_and_counted_with_their_space(words: Any) -> None:
    found = words.encode("First Citizen: speak, speak.").tolist()
    text = words.decode(found)
    assert text == "first citizen : speak , speak ."
    assert "".join(texts_of(words, found)) == text
    assert texts_of(words, found)[-1] == " ."
    assert words.lengths(found) == (len(text) + 1, len(text) + 1)
    halves = [words.lengths(found[:5]), words.lengths(found[5:])]
    assert tuple(map(sum, zip(*halves, strict=True))) == words.lengths(found)
    assert restored(words.plain()).encode("First Citizen").tolist() == words.encode("First Citizen").tolist()


def test_the_splits_of_pieces_are_those_of_the_characters(tmp_path: Path) -> None:
    path = tmp_path / "text.txt"
    path.write_text(TEXT, encoding="utf-8")
    task = TextTask(TextConfig(file=(path,), symbols=BytePieces(size=400), context=7, window=5))
    spans = parts(len(TEXT))
    for split, span in spans.items():
        assert task.symbols.decode(task.part(split).tolist()) == TEXT[span.start : span.stop]
    examples = task.examples("test")
    assert torch.cat([one.symbols[-one.scored :] for one in examples]).tolist() == task.part("test").tolist()
    assert sum(one.characters for one in examples) == len(spans["test"])
    uniform = [Written((), one.scored * math.log(400)) for one in examples]
    bits = task.score(uniform, examples).figures["bits_per_byte"].value
    assert bits == pytest.approx(len(task.part("test")) * math.log2(400) / len(spans["test"]))


def test_what_was_learned_is_saved(tmp_path: Path) -> None:
    path = tmp_path / "text.txt"
    path.write_text(TEXT, encoding="utf-8")
    task = TextTask(TextConfig(file=(path,), symbols=BytePieces(size=300)))
    task.save(tmp_path)
    again = TextTask(task.config, tmp_path)
    assert again.symbols.plain() == task.symbols.plain()
    again.check_trained(task.config)
    with pytest.raises(InvalidInput, match="its options cannot change now"):
        again.check_trained(TextConfig(symbols=BytePieces(size=301)))
    (tmp_path / "symbols.json").write_text('{"kind": "byte-pieces", "tokenizer": {"version": "9"}}')
    with pytest.raises(InvalidInput, match="not pieces that saccade wrote"):
        TextTask(task.config, tmp_path)


class TestBadFiles:
    def test_of_gpt2(self, gpt2: tuple[Path, Path], tmp_path: Path) -> None:
        vocabulary, _ = gpt2
        numbers = json.loads(vocabulary.read_text(encoding="utf-8"))
        none = tmp_path / "none.txt"
        none.write_text("#version: 0.2\n")
        for text, why in (
            ("[1]", "expected a JSON object"),
            ('{"a": "b"}', "expected pieces and their numbers"),
            (json.dumps({**numbers, "x": 999, "zz": 400}), "each number once"),
            (json.dumps({piece: n for n, piece in enumerate(sorted(numbers)) if n < 300}), "256 bytes"),
            ("{", "damaged or cut off"),
        ):
            path = tmp_path / "vocab.json"
            path.write_text(text, encoding="utf-8")
            with pytest.raises(InvalidInput, match=why):
                from_files(path, none)
        wrong = tmp_path / "merges.txt"
        for text in ("#version: 0.2\nt h e\n", "th qqq\n"):
            wrong.write_text(text)
            with pytest.raises(InvalidInput, match=r"merges.txt, line \d: expected two pieces of vocab.json"):
                from_files(vocabulary, wrong)
        with pytest.raises(NotFound):
            from_files(tmp_path / "none.json", none)

    def test_of_bert(self, bert: Path, tmp_path: Path) -> None:
        path = tmp_path / "vocab.txt"
        for text, why in (("a\nb\n", r"\[UNK\] is missing"), ("[UNK]\na\na\n", "'a' stands in it twice")):
            path.write_text(text)
            with pytest.raises(InvalidInput, match=why):
                from_list(path)

    def test_a_vocabulary_needs_its_merges(self) -> None:
        with pytest.raises(ValidationError, match="vocabulary is set, but merges is not"):
            BytePieces(vocabulary=Path("vocab.json"))
        with pytest.raises(ValidationError, match="merges is set, but vocabulary is not"):
            BytePieces(merges=Path("merges.txt"))


def test_the_kinds_are_told_apart(pieces: Any, words: Any) -> None:
    assert isinstance(restored(pieces.plain()), BytePieceSymbols)
    assert isinstance(restored(words.plain()), WordPieceSymbols)
    with pytest.raises(InvalidInput, match="word-pieces or unigram-pieces, not 'glyphs'"):
        restored({"kind": "glyphs"})


def test_words_without_a_frame_are_written_for_a_tokenizer_that_adds_none(words: Any, tmp_path: Path) -> None:
    write_pieces(words, words.names, tmp_path, {"unk_token": "[UNK]"})
    from transformers import AutoTokenizer

    found = AutoTokenizer.from_pretrained(tmp_path)
    assert found("The king speaks")["input_ids"] == words.encode("The king speaks").tolist()


@pytest.mark.parametrize(
    ("file", "said", "read"),
    [
        ("tokenizer.json", {"normalizer": {"lowercase": True, "strip_accents": False}}, word_pieces_of),
        ("tokenizer_config.json", {"do_lower_case": False, "strip_accents": True}, word_pieces_of),
        ("tokenizer_config.json", {"tokenize_chinese_chars": False}, word_pieces_of),
        ("tokenizer.json", {"pre_tokenizer": {"add_prefix_space": True}}, byte_pieces_of),
        ("tokenizer_config.json", {"add_prefix_space": True}, byte_pieces_of),
    ],
)
def test_another_way_to_read_a_text_is_refused(file: str, said: dict[str, Any], read: Any, tmp_path: Path) -> None:
    for name in ("vocab.txt", "vocab.json", "merges.txt"):
        (tmp_path / name).write_text("")
    read(tmp_path)
    (tmp_path / file).write_text(json.dumps(said))
    with pytest.raises(InvalidInput, match=r"json: \w+ is (True|False); only (True|False) is computed here"):
        read(tmp_path)
