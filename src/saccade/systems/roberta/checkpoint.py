"""RoBERTa in checkpoints of Hugging Face: the names of `RobertaForMaskedLM` in transformers' modeling_roberta.py."""

from collections.abc import Iterator, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

from saccade.core.checkpoint import Checkpoint, Weight
from saccade.nets.block_weights import Linear, plain
from saccade.nets.masked_language_model_weights import DEFAULTS as SHARED
from saccade.nets.masked_language_model_weights import encoder_weights, options_of, sizes_of
from saccade.systems.roberta.recipe import UNUSED, Config
from saccade.tasks.text.tokenizer_files import byte_pieces_of, write_pieces

PADDING = UNUSED - 1
"""The number of the symbol for padding; positions are counted from the next number on."""
DEFAULTS = {**SHARED, "vocab_size": 50_265, "pad_token_id": PADDING}
IDS = ("pad_token", "bos_token", "eos_token")
"""The roles whose numbers config.json has."""


def config(options: Mapping[str, Any], folder: Path, own: Config) -> Config:
    """The sizes and the pieces of a folder; examples are as long as there are positions."""
    sizes = sizes_of(options, UNUSED)
    return replace(
        own, task=replace(own.task, symbols=byte_pieces_of(folder), length=sizes.positions), model=sizes
    )  # fmt: skip


def options(config: Config, task: Any) -> dict[str, Any]:
    found = options_of(config.model, len(task.symbols.names), UNUSED)
    return {**found, "type_vocab_size": 1, "layer_norm_eps": 1e-5, "pad_token_id": PADDING}


def weights(config: Config) -> Iterator[Weight]:
    yield from encoder_weights(config.model, "roberta.")
    yield from plain([Linear("transform", "lm_head.dense"), Linear("norm", "lm_head.layer_norm")], "answer")
    yield Weight("bias", ("lm_head.bias",), role="answer", of_symbols=True)


def order(task: Any) -> list[int] | None:
    """The symbols with that for padding at PADDING, if it is elsewhere: transformers counts positions from its
    number."""
    symbols = task.symbols
    if symbols.padding == PADDING:
        return None
    begin = [symbols.numbers["first"], symbols.padding, symbols.separator]
    return [*begin, *(number for number in range(len(symbols.names)) if number not in begin)]


def tokenizer(task: Any, folder: Path) -> dict[str, int]:
    symbols = task.symbols
    names = [symbols.names[number] for number in order(task) or range(len(symbols.names))]
    special = symbols.published
    special |= {"bos_token": special["cls_token"], "eos_token": special["sep_token"]}
    write_pieces(symbols.pieces, names, folder, special, (special["cls_token"], special["sep_token"]))
    return {f"{role}_id": names.index(name) for role, name in special.items() if role in IDS}


CHECKPOINT = Checkpoint(
    kind="roberta",
    architecture="RobertaForMaskedLM",
    prefix="roberta.",
    defaults=DEFAULTS,
    config=config,
    options=options,
    weights=weights,
    tied={
        "lm_head.decoder.weight": "roberta.embeddings.word_embeddings.weight",
        "lm_head.decoder.bias": "lm_head.bias",
    },
    tokenizer=tokenizer,
    order=order,
)
