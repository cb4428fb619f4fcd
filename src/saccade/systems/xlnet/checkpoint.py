"""XLNet in checkpoints of Hugging Face: the names of `XLNetLMHeadModel` in transformers' modeling_xlnet.py.

There a projection has an axis for the heads, and the sines of the distances stand before the cosines; here they
alternate, as in Vaswani et al. 2017, which permutes the rows of the projection of distances.
"""

from collections.abc import Iterator, Mapping
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

from einops import rearrange
from torch import Tensor

from saccade.core.checkpoint import Checkpoint, Weight
from saccade.core.errors import InvalidInput
from saccade.nets.block_weights import Linear, plain
from saccade.systems.xlnet.model import XLNetConfig
from saccade.systems.xlnet.recipe import Config
from saccade.tasks.text.pieces import Pieces
from saccade.tasks.text.tokenizer_files import unigrams_of, write_pieces

DEFAULTS = {
    "vocab_size": 32_000, "d_model": 1024, "n_layer": 24, "n_head": 16, "d_inner": 4096, "ff_activation": "gelu",
    "attn_type": "bi", "layer_norm_eps": 1e-12, "dropout": 0.1, "bi_data": False, "clamp_len": -1, "same_length": False,
    "untie_r": True, "tie_word_embeddings": True, "quantization_config": None,
}  # fmt: skip
"""Of `XLNetConfig` in transformers' configuration_xlnet.py."""
PROJECTIONS = {"query": "q", "key": "k", "value": "v", "position": "r"}
BIASES = {"content_bias": "r_w_bias", "position_bias": "r_r_bias"}
OF_SEGMENTS = {"segment_bias": "r_s_bias", "segment": "seg_embed"}
LAYERS = {
    "attention_residual.norm": "rel_attn.layer_norm", "forward_residual.norm": "ff.layer_norm",
    "feed_forward.hidden": "ff.layer_1", "feed_forward.output": "ff.layer_2",
}  # fmt: skip
ROLES = {
    "bos_token": "<s>", "eos_token": "</s>", "unk_token": "<unk>", "sep_token": "<sep>", "pad_token": "<pad>",
    "cls_token": "<cls>", "mask_token": "<mask>",
}  # fmt: skip

IDS = ("bos_token", "eos_token", "pad_token")
"""The roles whose numbers config.json has."""


def joined(tensor: Tensor) -> Tensor:
    return rearrange(tensor, "d h c -> (h c) d")


def apart(tensor: Tensor, heads: int) -> tuple[Tensor, ...]:
    return (rearrange(tensor, "(h c) d -> d h c", h=heads),)


def alternating(tensor: Tensor) -> Tensor:
    return rearrange(tensor, "(half d) h c -> (h c) (d half)", half=2)


def in_halves(tensor: Tensor, heads: int) -> tuple[Tensor, ...]:
    return (rearrange(tensor, "(h c) (d half) -> (half d) h c", h=heads, half=2),)


def output(tensor: Tensor) -> Tensor:
    return rearrange(tensor, "d h c -> d (h c)")


def output_apart(tensor: Tensor, heads: int) -> tuple[Tensor, ...]:
    return (rearrange(tensor, "d (h c) -> d h c", h=heads),)


def config(options: Mapping[str, Any], folder: Path, own: Config) -> Config:
    """The sizes and the pieces of a folder; a memory as long as there is said to be one."""
    window, memory = 512, options.get("mem_len") or 0
    text = replace(own.task, symbols=unigrams_of(folder), window=window, context=(window + memory) // 2)
    rate = options["dropout"]
    model = XLNetConfig(
        layers=options["n_layer"], model_size=options["d_model"], heads=options["n_head"],
        hidden_size=options["d_inner"], memory=memory, segments=True, dropout=rate, attention_dropout=rate,
    )  # fmt: skip
    return replace(own, task=text, model=model)


def options(config: Config, task: Any) -> dict[str, Any]:
    model = config.model
    return {
        **DEFAULTS, "vocab_size": len(task.symbols.names), "d_model": model.model_size, "n_layer": model.layers,
        "n_head": model.heads, "d_inner": model.hidden_size or 4 * model.model_size, "dropout": model.dropout,
    }  # fmt: skip


def weights(config: Config) -> Iterator[Weight]:
    heads = config.model.heads
    yield Weight("embedding.weight", ("transformer.word_embedding.weight",))
    yield Weight("unknown", ("transformer.mask_emb",), Tensor.flatten, lambda tensor: (tensor[None, None],))
    for number in range(config.model.layers):
        ours, theirs = f"layers.{number}", f"transformer.layer.{number}"
        there = f"{theirs}.rel_attn"
        for name, other in PROJECTIONS.items():
            read, write = (alternating, in_halves) if name == "position" else (joined, apart)
            yield Weight(f"{ours}.attention.{name}.weight", (f"{there}.{other}",), read, partial(write, heads=heads))
        yield Weight(
            f"{ours}.attention.output.weight", (f"{there}.o",), output, partial(output_apart, heads=heads)
        )  # fmt: skip
        for name, other in (BIASES | (OF_SEGMENTS if config.model.segments else {})).items():
            yield Weight(f"{ours}.attention.{name}", (f"{there}.{other}",))
        yield from plain([Linear(f"{ours}.{name}", f"{theirs}.{other}") for name, other in LAYERS.items()])
    yield Weight("output_bias", ("lm_loss.bias",), role="answer")


def tokenizer(task: Any, folder: Path) -> dict[str, Any]:
    if not isinstance(task.symbols, Pieces):
        raise InvalidInput(
            f"the symbols of this run are {task.config.symbols.name}, for which transformers has no tokenizer; only "
            "runs with pieces of words are written"
        )
    names = task.symbols.names
    special = {role: name for role, name in ROLES.items() if name in task.symbols.special}
    write_pieces(task.symbols, names, folder, special)
    return {f"{role}_id": names.index(special[role]) for role in IDS if role in special}


CHECKPOINT = Checkpoint(
    kind="xlnet",
    architecture="XLNetLMHeadModel",
    prefix="transformer.",
    defaults=DEFAULTS,
    config=config,
    options=options,
    weights=weights,
    tied={"lm_loss.weight": "transformer.word_embedding.weight"},
    tokenizer=tokenizer,
)
