"""BERT as a classifier in checkpoints of Hugging Face: the names of `BertForSequenceClassification` in transformers'
modeling_bert.py. A checkpoint of another BERT gives the encoder alone."""

import dataclasses
from collections.abc import Iterator, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

from saccade.core.checkpoint import Checkpoint, Weight
from saccade.core.errors import InvalidInput
from saccade.nets.block_weights import Linear, plain
from saccade.nets.masked_language_model_weights import DEFAULTS, encoder_weights, options_of, sizes_of
from saccade.systems.bert_classifier.model import ClassifierConfig
from saccade.systems.bert_classifier.recipe import Config
from saccade.tasks.text.tokenizer_files import word_pieces_of, write_pieces

ARCHITECTURE = "BertForSequenceClassification"


def config(options: Mapping[str, Any], folder: Path, own: Config) -> Config:
    """The sizes and the pieces of a folder; of a classifier its classes too."""
    sizes = sizes_of(options)
    there = {field.name: getattr(sizes, field.name) for field in dataclasses.fields(sizes)}
    classes = own.task.classes
    if ARCHITECTURE in (options.get("architectures") or ()):
        names = options.get("id2label") or {"0": "LABEL_0", "1": "LABEL_1"}  # as transformers names them
        classes = tuple(str(names[number]) for number in sorted(names, key=int))
        kind = options.get("problem_type") or "single_label_classification"
        if kind != "single_label_classification" or len(classes) < 2:
            raise InvalidInput(
                f"{folder}: problem_type is {kind!r}, with {len(classes)} classes; bert_classifier chooses one of at "
                "least two"
            )
    task = replace(
        own.task, symbols=word_pieces_of(folder), longest=min(own.task.longest, sizes.positions), classes=classes
    )
    model = ClassifierConfig(**there, pooling=own.model.pooling, trained=own.model.trained)
    return replace(own, task=task, model=model)


def weights(config: Config) -> Iterator[Weight]:
    yield from encoder_weights(config.model, "bert.")
    if config.model.pooling == "first":
        yield from plain([Linear("pooler", "bert.pooler.dense")], "extra")
    yield from plain([Linear("output", "classifier")], "answer")


def tokenizer(task: Any, folder: Path) -> dict[str, Any]:
    symbols = task.symbols
    special = symbols.published
    write_pieces(symbols.pieces, symbols.names, folder, special, (special["cls_token"], special["sep_token"]))
    names = {str(number): name for number, name in enumerate(task.classes)}
    numbers = {name: int(number) for number, name in names.items()}
    return {"pad_token_id": symbols.padding, "id2label": names, "label2id": numbers}


def refuses(config: Config) -> str:
    return "it takes the mean of all symbols" if config.model.pooling == "mean" else ""


CHECKPOINT = Checkpoint(
    kind="bert",
    architecture=ARCHITECTURE,
    prefix="bert.",
    defaults=DEFAULTS,
    config=config,
    options=lambda config, task: options_of(config.model, len(task.symbols.names)),
    weights=weights,
    tied={},
    tokenizer=tokenizer,
    refuses=refuses,
    older=(("LayerNorm.gamma", "LayerNorm.weight"), ("LayerNorm.beta", "LayerNorm.bias")),
)
