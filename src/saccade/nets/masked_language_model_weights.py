"""The tensors and the options of a masked language model in checkpoints of Hugging Face: the names of
`BertForPreTraining` in transformers' modeling_bert.py and of `RobertaForMaskedLM` in modeling_roberta.py."""

from collections.abc import Iterator, Mapping
from typing import Any

from saccade.core.checkpoint import Weight
from saccade.nets.block_weights import Linear, bert_blocks, plain
from saccade.nets.masked_language_model import MaskedLanguageModelConfig

DEFAULTS = {
    "vocab_size": 30_522, "hidden_size": 768, "num_hidden_layers": 12, "num_attention_heads": 12,
    "intermediate_size": 3072, "hidden_act": "gelu", "hidden_dropout_prob": 0.1, "attention_probs_dropout_prob": 0.1,
    "max_position_embeddings": 512, "type_vocab_size": 2, "layer_norm_eps": 1e-12, "is_decoder": False,
    "add_cross_attention": False, "tie_word_embeddings": True, "position_embedding_type": "absolute",
    "quantization_config": None,
}  # fmt: skip
"""Of `BertConfig` and `RobertaConfig` in transformers' configuration_bert.py and configuration_roberta.py."""


def sizes_of(options: Mapping[str, Any], unused: int = 0) -> MaskedLanguageModelConfig:
    """The sizes in config.json.

    Args:
        unused: rows of the position table before the first position.
    """
    return MaskedLanguageModelConfig(
        layers=options["num_hidden_layers"], model_size=options["hidden_size"], heads=options["num_attention_heads"],
        hidden_size=options["intermediate_size"], positions=options["max_position_embeddings"] - unused,
        dropout=options["hidden_dropout_prob"], attention_dropout=options["attention_probs_dropout_prob"],
    )  # fmt: skip


def options_of(sizes: MaskedLanguageModelConfig, symbols: int, unused: int = 0) -> dict[str, Any]:
    """The inverse of `sizes_of`."""
    return {
        **DEFAULTS, "vocab_size": symbols, "hidden_size": sizes.model_size, "num_hidden_layers": sizes.layers,
        "num_attention_heads": sizes.heads, "intermediate_size": sizes.hidden_size or 4 * sizes.model_size,
        "hidden_dropout_prob": sizes.dropout, "attention_probs_dropout_prob": sizes.attention_dropout,
        "max_position_embeddings": sizes.positions + unused,
    }  # fmt: skip


def encoder_weights(sizes: MaskedLanguageModelConfig, prefix: str) -> Iterator[Weight]:
    """Embeddings and blocks."""
    tables = {"symbols": "word_embeddings", "positions": "position_embeddings", "segments": "token_type_embeddings"}
    for ours, theirs in tables.items():
        name = f"{prefix}embeddings.{theirs}.weight"
        yield Weight(f"encoder.{ours}.weight", (name,), of_symbols=ours == "symbols")
    yield from plain([Linear("encoder.norm", f"{prefix}embeddings.LayerNorm")])
    yield from bert_blocks(sizes.layers, sizes.heads, "encoder.stack.blocks", f"{prefix}encoder.layer")
