"""Pieces of words: learned from a text, or read from the files of a vocabulary."""

from collections import Counter
from pathlib import Path
from typing import Any

from saccade.core.errors import InvalidInput, NotFound, require
from saccade.core.files import read_lines, read_record
from saccade.tasks.text.config import BytePieces, WordPieces
from saccade.tasks.text.corpus import parts
from saccade.tasks.text.pieces import (
    BERT,
    BYTES,
    CONTINUES,
    UNKNOWN,
    BytePieceSymbols,
    UnigramSymbols,
    WordPieceSymbols,
    byte_level,
    word_level,
)


def learned(
    chosen: BytePieces | WordPieces, text: str, *, whole: bool = False
) -> "BytePieceSymbols | WordPieceSymbols":
    """Pieces from the files that are chosen, or learned from the training part of a text; if `whole`, from all of it.

    Raises:
        InvalidInput: a file that cannot be read.
        MissingExtra: the library is not installed.
    """
    tokenizers: Any = require("tokenizers", "text")
    train = text if whole else text[: parts(len(text))["train"].stop]
    if isinstance(chosen, BytePieces):
        if chosen.vocabulary is not None and chosen.merges is not None:
            return from_files(chosen.vocabulary, chosen.merges)
        tokenizer = byte_level(tokenizers.models.BPE())
        letters = sorted(BYTES)
        trainer = tokenizers.trainers.BpeTrainer(
            vocab_size=chosen.size, initial_alphabet=letters, show_progress=False, special_tokens=[]
        )
        tokenizer.train_from_iterator([train], trainer)
        return BytePieceSymbols(tokenizer)
    if chosen.vocabulary is not None:
        return from_list(chosen.vocabulary, chosen.lowercase)
    return learned_words(train, chosen.size, chosen.lowercase)


def learned_words(text: str, size: int, lowercase: bool) -> WordPieceSymbols:
    """At most `size` pieces of the words of a text, the same ones each time."""
    tokenizers: Any = require("tokenizers", "text")
    cut = word_level(tokenizers.models.WordPiece(unk_token=UNKNOWN), lowercase)
    words = Counter(word for word, _ in cut.pre_tokenizer.pre_tokenize_str(cut.normalizer.normalize_str(text)))
    letters = Counter[str]()
    for word, count in words.items():
        letters.update(dict.fromkeys(word, count))
    kept = sorted(sorted(letters), key=lambda letter: -letters[letter])[: (size - len(BERT)) // 2]
    inner = {letter for word in words for letter in word[1:]}
    # numbered here, since the library would number them in the order of a hash, and break ties by these numbers
    first = [*BERT, *sorted(f"{CONTINUES}{letter}" for letter in inner.intersection(kept))]
    trainer = tokenizers.trainers.WordPieceTrainer(
        vocab_size=size, special_tokens=first, initial_alphabet=kept, limit_alphabet=len(kept), show_progress=False
    )
    cut.train_from_iterator((word for word in sorted(words) for _ in range(words[word])), trainer)
    return WordPieceSymbols(word_level(tokenizers.models.WordPiece(cut.get_vocab(), unk_token=UNKNOWN), lowercase))


def from_files(vocabulary: Path, merges: Path) -> BytePieceSymbols:
    """GPT-2's pieces.

    Args:
        vocabulary: vocab.json: piece -> number; or tokenizer.json.
        merges: merges.txt: after a line with the version, two pieces a line that are joined, the most frequent first;
            or tokenizer.json too.

    Raises:
        InvalidInput: a file of another form.
    """
    if vocabulary == merges:
        numbers, pairs = of_tokenizer(vocabulary, "BPE")
        return of_pairs(numbers, pairs, vocabulary)
    numbers = read_record(vocabulary)
    if not numbers or not all(type(number) is int for number in numbers.values()):
        raise InvalidInput(f"{vocabulary}: expected pieces and their numbers, as in GPT-2's vocab.json")
    pairs = []
    for place, line in enumerate(read_lines(merges), start=1):
        if line and not line.startswith("#version"):
            pair = tuple(line.split(" "))
            if len(pair) != 2 or not {*pair, "".join(pair)} <= numbers.keys():
                raise InvalidInput(
                    f"{merges}, line {place}: expected two pieces of {vocabulary.name}, whose join is one too, not "
                    f"{line[:80]!r}"
                )
            pairs.append(pair)
    return of_pairs(numbers, pairs, vocabulary)


def of_pairs(numbers: dict[str, int], pairs: list[Any], vocabulary: Path) -> BytePieceSymbols:
    """The pieces of these numbers and joins, read from a file."""
    tokenizers: Any = require("tokenizers", "text")
    try:
        return BytePieceSymbols(byte_level(tokenizers.models.BPE(numbers, pairs)))
    except InvalidInput as error:
        raise InvalidInput(f"{vocabulary}: {error}") from error


def from_list(vocabulary: Path, lowercase: bool = True) -> WordPieceSymbols:
    """BERT's pieces: vocab.txt, a piece a line; or tokenizer.json.

    Raises:
        InvalidInput: a file of another form.
    """
    tokenizers: Any = require("tokenizers", "text")
    if vocabulary.suffix == ".json":
        numbers, _ = of_tokenizer(vocabulary, "WordPiece")
        lines = list(numbers)
    else:
        lines = read_lines(vocabulary)
        numbers = {line: number for number, line in enumerate(lines)}
    if len(numbers) < len(lines):
        twice = next(line for number, line in enumerate(lines) if numbers[line] != number)
        raise InvalidInput(f"{vocabulary}: expected a piece a line, each once; {twice!r} stands in it twice")
    if UNKNOWN not in numbers:
        raise InvalidInput(f"{vocabulary}: expected a piece a line, as in BERT's vocab.txt; {UNKNOWN} is missing")
    return WordPieceSymbols(word_level(tokenizers.models.WordPiece(numbers, unk_token=UNKNOWN), lowercase))


def of_tokenizer(path: Path, kind: str) -> tuple[dict[str, int], list[Any]]:
    """The numbers of the pieces in a tokenizer.json, special ones included, and the pairs that are joined.

    Raises:
        InvalidInput: a file of another form, or of another kind of pieces.
    """
    try:
        found = read_record(path, "model")
        model = found["model"]
        if (got := model.get("type", kind)) != kind:
            raise InvalidInput(f"{path}: expected pieces of the kind {kind}, not {got}")
        added = {str(one["content"]): int(one["id"]) for one in found.get("added_tokens") or ()}
        pairs = [tuple(pair.split(" ")) if isinstance(pair, str) else tuple(pair) for pair in model.get("merges") or ()]
        vocab = model["vocab"]
        if kind == "Unigram":  # pieces with their log-probabilities, in the order of their numbers
            vocab = {name: number for number, (name, _) in enumerate(vocab)}
        return {**{str(name): int(number) for name, number in vocab.items()}, **added}, pairs
    except (LookupError, TypeError, ValueError, AttributeError) as error:
        if isinstance(error, InvalidInput | NotFound):
            raise
        raise InvalidInput(f"{path}: not the form of a tokenizer ({error})") from error


def unigrams_of(path: Path) -> UnigramSymbols:
    """The pieces of a tokenizer.json.

    Raises:
        NotFound: there is no such file.
        InvalidInput: a file of another form, or of another kind of pieces.
    """
    tokenizers: Any = require("tokenizers", "text")
    of_tokenizer(path, "Unigram")
    try:
        tokenizer = tokenizers.Tokenizer.from_file(str(path))
        tokenizer.no_truncation()
        tokenizer.no_padding()
        return UnigramSymbols(tokenizer)
    except InvalidInput:
        raise
    except Exception as error:  # the library raises a bare Exception
        raise InvalidInput(f"{path}: not the form of a tokenizer ({error})") from error
