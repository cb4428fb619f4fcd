"""The pieces of words in a folder of Hugging Face: vocab.json and merges.txt, vocab.txt, or tokenizer.json."""

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from saccade.core.errors import InvalidInput, NotFound, require
from saccade.core.files import read_record, write_atomically
from saccade.tasks.text.config import BytePieces, UnigramPieces, WordPieces
from saccade.tasks.text.pieces import (
    UNKNOWN,
    BytePieceSymbols,
    Pieces,
    UnigramSymbols,
    WordPieceSymbols,
    byte_level,
    word_level,
)

TOKENIZER, OPTIONS = "tokenizer.json", "tokenizer_config.json"


def byte_pieces_of(folder: Path) -> BytePieces:
    """Where the byte-level pieces of a folder are.

    Raises:
        NotFound: it has none.
        InvalidInput: pieces that are read in another way.
    """
    _check(folder, "pre_tokenizer", {"add_prefix_space": (False, None)})
    files = folder / "vocab.json", folder / "merges.txt"
    if not all(file.is_file() for file in files):
        files = whole(folder, "vocab.json and merges.txt"), folder / TOKENIZER
    return BytePieces(vocabulary=files[0], merges=files[1])


def word_pieces_of(folder: Path) -> WordPieces:
    """Where the WordPieces of a folder are, and whether capitals are read as small letters.

    Raises:
        NotFound: it has none.
        InvalidInput: a damaged file, or pieces that are read in another way.
    """
    file = folder / "vocab.txt"
    if not file.is_file():
        file = whole(folder, "vocab.txt")
    said: Any = None
    if (folder / TOKENIZER).is_file():
        said = (read_record(folder / TOKENIZER).get("normalizer") or {}).get("lowercase")
    if said is None and (folder / OPTIONS).is_file():
        said = read_record(folder / OPTIONS).get("do_lower_case")
    lowercase, usual = said is not False, (True, None)
    accents = (lowercase, None)
    _check(
        folder, "normalizer",
        {"strip_accents": accents, "handle_chinese_chars": usual, "tokenize_chinese_chars": usual, "clean_text": usual},
    )  # fmt: skip
    return WordPieces(vocabulary=file, lowercase=lowercase)


def _check(folder: Path, part: str, computed: Mapping[str, tuple[bool, None]]) -> None:
    """Raise InvalidInput where a folder's files ask for another way to read a text."""
    for file, inner in ((folder / TOKENIZER, part), (folder / OPTIONS, "")):
        if not file.is_file():
            continue
        found = read_record(file)
        found = (found.get(inner) or {}) if inner else found
        for name, known in computed.items():
            if isinstance(found, dict) and found.get(name) not in known:
                raise InvalidInput(f"{file}: {name} is {found[name]!r}; only {known[0]!r} is computed here")


def unigrams_of(folder: Path) -> UnigramPieces:
    """Where the pieces of XLNet's folder are.

    Raises:
        NotFound: it has none.
    """
    if not (folder / TOKENIZER).is_file():
        raise NotFound(
            f"{folder} has no {TOKENIZER}; transformers writes one: AutoTokenizer.from_pretrained(...)."
            "save_pretrained(...)"
        )
    return UnigramPieces(tokenizer=folder / TOKENIZER)


def whole(folder: Path, instead: str) -> Path:
    if not (folder / TOKENIZER).is_file():
        raise NotFound(f"{folder} has no pieces of words: expected {instead}, or {TOKENIZER}")
    return folder / TOKENIZER


def write_pieces(
    symbols: Pieces,
    names: Sequence[str],
    folder: Path,
    special: Mapping[str, str],
    frame: tuple[str, str] | None = None,
) -> None:
    """Write pieces as transformers reads them.

    Args:
        symbols: the pieces.
        names: all symbols by number; those that are not among the pieces are special.
        special: the roles of special symbols, such as {"mask_token": "[MASK]"}.
        frame: the symbols before and behind a text, and between two.
    """
    tokenizers: Any = require("tokenizers", "text")
    numbers = {name: number for number, name in enumerate(names)}
    kept = json.loads(symbols.tokenizer.to_str())
    options: dict[str, Any] = dict(special)
    if isinstance(symbols, WordPieceSymbols):
        lowercase = bool(kept["normalizer"]["lowercase"])
        made = word_level(tokenizers.models.WordPiece(numbers, unk_token=UNKNOWN), lowercase)
        # BertTokenizer puts [CLS] and [SEP] around every text
        kind = "BertTokenizer" if frame else "PreTrainedTokenizerFast"
        options |= {"tokenizer_class": kind, "do_lower_case": lowercase}
        write_text(folder / "vocab.txt", "".join(f"{name}\n" for name in names))
    elif isinstance(symbols, BytePieceSymbols):
        merges = [tuple(pair) for pair in kept["model"]["merges"]]
        made = byte_level(tokenizers.models.BPE(numbers, merges))
        options |= {"tokenizer_class": "RobertaTokenizer" if frame else "GPT2Tokenizer"}
        write_text(folder / "vocab.json", json.dumps(numbers, ensure_ascii=False))
        write_text(folder / "merges.txt", "#version: 0.2\n" + "".join(f"{a} {b}\n" for a, b in merges))
    elif isinstance(symbols, UnigramSymbols):
        made = symbols.tokenizer  # its special symbols are in it
        options |= {"tokenizer_class": "PreTrainedTokenizerFast"}
    else:
        raise InvalidInput(f"expected pieces of words, for which transformers has tokenizers, not {symbols.kind}")
    roles = [name for name in special.values() if name in numbers]
    made.add_special_tokens([tokenizers.AddedToken(name, special=True, normalized=False) for name in roles])
    if frame:
        first, last = ((name, numbers[name]) for name in frame)
        kind = tokenizers.processors
        words = isinstance(symbols, WordPieceSymbols)
        made.post_processor = (
            kind.BertProcessing(last, first)
            if words
            else kind.RobertaProcessing(last, first, trim_offsets=True, add_prefix_space=False)
        )
    write_text(folder / TOKENIZER, made.to_str(pretty=True))
    write_text(folder / OPTIONS, json.dumps(options, indent=1))


def write_text(path: Path, text: str) -> None:
    write_atomically(path, text.encode("utf-8"))
