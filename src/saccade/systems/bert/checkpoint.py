"""BERT in checkpoints of Hugging Face: the names of `BertForPreTraining` in transformers' modeling_bert.py."""

from collections.abc import Iterator, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

from saccade.core.checkpoint import Checkpoint, Weight
from saccade.nets.block_weights import Linear, plain
from saccade.nets.masked_language_model_weights import DEFAULTS, encoder_weights, options_of, sizes_of
from saccade.systems.bert.recipe import Config
from saccade.tasks.text.tokenizer_files import word_pieces_of, write_pieces

IDS = ("pad_token",)
"""The roles whose numbers config.json has."""


def config(options: Mapping[str, Any], folder: Path, own: Config) -> Config:
    """The sizes and the pieces of a folder; all examples are as long as there are positions."""
    sizes = sizes_of(options)
    task = replace(own.task, symbols=word_pieces_of(folder), length=sizes.positions, early_length=None)
    return replace(own, task=task, model=sizes)


def weights(config: Config) -> Iterator[Weight]:
    yield from encoder_weights(config.model, "bert.")
    pairs = [Linear("pooler", "bert.pooler.dense"), Linear("follows", "cls.seq_relationship")]
    yield from plain(pairs, "extra")
    place = "cls.predictions.transform"
    yield from plain([Linear("transform", f"{place}.dense"), Linear("norm", f"{place}.LayerNorm")], "answer")
    yield Weight("bias", ("cls.predictions.bias",), role="answer", of_symbols=True)


def tokenizer(task: Any, folder: Path) -> dict[str, int]:
    symbols = task.symbols
    special = symbols.published
    write_pieces(symbols.pieces, symbols.names, folder, special, (special["cls_token"], special["sep_token"]))
    return {f"{role}_id": symbols.names.index(name) for role, name in special.items() if role in IDS}


CHECKPOINT = Checkpoint(
    kind="bert",
    architecture="BertForPreTraining",
    prefix="bert.",
    defaults=DEFAULTS,
    config=config,
    options=lambda config, task: options_of(config.model, len(task.symbols.names)),
    weights=weights,
    tied={
        "cls.predictions.decoder.weight": "bert.embeddings.word_embeddings.weight",
        "cls.predictions.decoder.bias": "cls.predictions.bias",
    },
    tokenizer=tokenizer,
    older=(("LayerNorm.gamma", "LayerNorm.weight"), ("LayerNorm.beta", "LayerNorm.bias")),
)
