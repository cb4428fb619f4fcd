"""Time cached decoding with GPT-2's net beside `generate` of Hugging Face's GPT-2 with the same sizes.

    python benchmarks/gpt2_decoding.py

One text of 32 symbols is written on, greedily, with GPT-2 small's sizes by default: each step reads all weights once,
so the floor is the weights' bytes at the machine's copy rate. Ours is also timed in bfloat16. Then eight texts of
unequal length at once, beside the same eight one by one.
"""

import argparse
import json
import statistics
from collections.abc import Callable
from typing import Any

import measure
import torch
from torch import Tensor

from saccade.core.masks import length_mask
from saccade.core.products import install
from saccade.nets.continuation import WritingConfig, write
from saccade.nets.language_model import LanguageModel, LanguageModelConfig

PROMPT, TEXTS, POSITIONS = 32, 8, 1024


def ours(model: Any, symbols: Tensor, mask: Tensor, length: int) -> Callable[[], Tensor]:
    options = WritingConfig(length=length, temperature=0)

    def run() -> Tensor:
        with torch.inference_mode():
            return write(model, symbols, mask, options)

    return run


def theirs(sizes: LanguageModelConfig, symbols: int, text: Tensor, length: int) -> Callable[[], object]:
    from transformers import GenerationConfig, GPT2Config, GPT2LMHeadModel
    from transformers.utils import logging

    logging.set_verbosity_error()
    config = GPT2Config(
        vocab_size=symbols, n_positions=POSITIONS, n_embd=sizes.model_size, n_layer=sizes.layers, n_head=sizes.heads,
        bos_token_id=0, eos_token_id=None, pad_token_id=0,
    )  # fmt: skip
    model = GPT2LMHeadModel(config).eval()
    options = GenerationConfig(
        max_new_tokens=length, min_new_tokens=length, do_sample=False, use_cache=True, pad_token_id=0
    )

    def run() -> object:
        with torch.inference_mode():
            found = model.generate(text, attention_mask=torch.ones_like(text), generation_config=options)
            assert found.shape[1] == text.shape[1] + length
            return found

    return run


def copying(size: int) -> Callable[[], object]:
    """A copy that reads as many bytes as the weights are, and writes them."""
    source, target = torch.randn(size), torch.empty(size)
    return lambda: target.copy_(source)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--layers", type=int, default=12)
    parser.add_argument("--size", type=int, default=768)
    parser.add_argument("--heads", type=int, default=12)
    parser.add_argument("--vocabulary", type=int, default=50_257)
    parser.add_argument("--length", type=int, default=32, help="symbols to write")
    parser.add_argument("--write", action="store_true", help="write the result into benchmarks/evidence")
    options = parser.parse_args()
    torch.manual_seed(0)
    sizes = LanguageModelConfig(
        layers=options.layers, model_size=options.size, heads=options.heads, positions=POSITIONS, dropout=0.0
    )
    model, length = LanguageModel(sizes, options.vocabulary).eval(), options.length
    install(model)  # as when a run is built
    narrow = LanguageModel(sizes, options.vocabulary).eval().to(torch.bfloat16)
    lengths = torch.tensor([PROMPT * (n + 1) // TEXTS for n in range(TEXTS)])
    symbols, mask = torch.randint(options.vocabulary, (TEXTS, PROMPT)), length_mask(lengths, PROMPT)
    one, whole = symbols[-1:], torch.ones(1, PROMPT, dtype=torch.bool)
    alone = [
        ours(model, symbols[row : row + 1, :size], mask[row : row + 1, :size], length)
        for row, size in enumerate(lengths.tolist())
    ]
    weights = sum(weight.numel() for weight in model.parameters()) - POSITIONS * options.size
    seconds = measure.alternate(
        {
            "ours": ours(model, one, whole, length),
            "ours in bfloat16": ours(narrow, one, whole, length),
            "generate": theirs(sizes, options.vocabulary, one, length),
            "copy": copying(weights),
        },
        options.rounds,
        warm=1,
    )
    together = measure.alternate(
        {"together": ours(model, symbols, mask, length), "alone": lambda: [run() for run in alone]},
        max(1, options.rounds // 2),
        warm=0,
    )
    # a copy also writes: half of its time is the reading
    floor = [second / 2 * length for second in seconds["copy"]]
    result = {
        "sizes": {"layers": options.layers, "d": options.size, "heads": options.heads, "symbols": options.vocabulary},
        "prompt": PROMPT, "length": length, "rounds": options.rounds,
        "milliseconds_a_symbol": {
            name: round(1000 * statistics.median(each) / length, 2)
            for name, each in (seconds | together).items()
            if name != "copy"
        },
        "gigabytes_per_second_of_the_copy": round(2 * 4 * weights / statistics.median(seconds["copy"]) / 1e9, 1),
        "times_generate": round(measure.ratio(seconds["generate"], seconds["ours"]), 2),
        "share_of_the_copy_bandwidth": round(measure.ratio(floor, seconds["ours"]), 2),
        "bfloat16_times_float32": round(measure.ratio(seconds["ours"], seconds["ours in bfloat16"]), 2),
        "together_beside_alone": round(measure.ratio(together["alone"], together["together"]), 1),
    }  # fmt: skip
    print(json.dumps(result, indent=1))
    if options.write:
        summary = {
            "cached decoding of one text with GPT-2's net beside Hugging Face's generate": (
                f"{result['times_generate']} x, {result['share_of_the_copy_bandwidth']:.0%} of the copy bandwidth"
            ),
            "... in bfloat16 beside float32": f"{result['bfloat16_times_float32']} x",
            "... eight texts of unequal length at once beside one by one": f"{result['together_beside_alone']} x",
        }
        print(measure.evidence("gpt2_decoding", summary, result))


if __name__ == "__main__":
    main()
