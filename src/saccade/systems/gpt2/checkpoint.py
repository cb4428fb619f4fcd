"""GPT-2 in checkpoints of Hugging Face: the names of `GPT2LMHeadModel` in transformers' modeling_gpt2.py."""

from collections.abc import Iterator, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

from saccade.core.checkpoint import Checkpoint, Weight
from saccade.core.errors import InvalidInput
from saccade.nets.block_weights import Linear, gpt2_blocks, plain
from saccade.nets.language_model import LanguageModelConfig
from saccade.systems.gpt2.recipe import Config
from saccade.tasks.text.pieces import Pieces
from saccade.tasks.text.tokenizer_files import byte_pieces_of, write_pieces

END = "<|endoftext|>"
DEFAULTS = {
    "vocab_size": 50_257, "n_positions": 1024, "n_embd": 768, "n_layer": 12, "n_head": 12, "n_inner": None,
    "activation_function": "gelu_new", "resid_pdrop": 0.1, "embd_pdrop": 0.1, "attn_pdrop": 0.1,
    "layer_norm_epsilon": 1e-5, "scale_attn_weights": True, "scale_attn_by_inverse_layer_idx": False,
    "add_cross_attention": False, "tie_word_embeddings": True, "quantization_config": None,
}  # fmt: skip
"""Of `GPT2Config` in transformers' configuration_gpt2.py."""


def config(options: Mapping[str, Any], folder: Path, own: Config) -> Config:
    """The sizes and the pieces of a folder; texts are read as long as there are positions."""
    positions = options["n_positions"]
    text = replace(own.task, symbols=byte_pieces_of(folder), window=positions, context=positions // 2)
    model = LanguageModelConfig(
        layers=options["n_layer"], model_size=options["n_embd"], heads=options["n_head"],
        hidden_size=options["n_inner"], positions=positions, dropout=options["resid_pdrop"],
        attention_dropout=options["attn_pdrop"],
    )  # fmt: skip
    return replace(own, task=text, model=model)


def options(config: Config, task: Any) -> dict[str, Any]:
    model = config.model
    return {
        **DEFAULTS, "vocab_size": len(task.symbols.names), "n_positions": model.positions, "n_embd": model.model_size,
        "n_layer": model.layers, "n_head": model.heads, "n_inner": model.hidden_size, "resid_pdrop": model.dropout,
        "embd_pdrop": model.dropout, "attn_pdrop": model.attention_dropout,
    }  # fmt: skip


def weights(config: Config) -> Iterator[Weight]:
    yield Weight("embedding.weight", ("transformer.wte.weight",))
    yield Weight("positions.table", ("transformer.wpe.weight",))
    yield from gpt2_blocks(config.model.layers, config.model.heads, "stack.blocks", "transformer.h")
    yield from plain([Linear("stack.norm", "transformer.ln_f")])


def tokenizer(task: Any, folder: Path) -> dict[str, int | None]:
    if not isinstance(task.symbols, Pieces):
        raise InvalidInput(
            f"the symbols of this run are {task.config.symbols.name}, for which transformers has no tokenizer; only "
            "runs with --task.symbols byte-pieces or word-pieces are written"
        )
    end = {"bos_token": END, "eos_token": END, "unk_token": END} if END in task.symbols.special else {}
    write_pieces(task.symbols, task.symbols.names, folder, end)
    number = task.symbols.special.get(END)
    return {"bos_token_id": number, "eos_token_id": number}


CHECKPOINT = Checkpoint(
    kind="gpt2",
    architecture="GPT2LMHeadModel",
    prefix="transformer.",
    defaults=DEFAULTS,
    config=config,
    options=options,
    weights=weights,
    tied={"lm_head.weight": "transformer.wte.weight"},
    tokenizer=tokenizer,
)
