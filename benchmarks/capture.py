"""Time a capture of a model without taps, compared with the model alone and with the model returning its weights.

    python benchmarks/capture.py

The model is a BERT encoder with 12 layers, 768 features, 12 heads and random weights, on two sentences of 512 tokens:
its fused kernels alone; captured, one layer or all; captured with every map read, that is, computed and summed; and the
same weights in eager mode with `output_attentions=True`, the only option of its library, also summed. Then two layers
on
8,192 tokens: the weights of 64 queries in one head, compared with the model alone. Last, on one sentence of 128 tokens,
a model after a capture is compared with a model that was never captured. Peak memory is the median of three separate
processes, minus that of the model alone.
"""

import argparse
import json
import statistics
import sys
from collections.abc import Callable
from typing import Any

import torch
from measure import alternate, evidence, own_peak, peak_memory, ratio

from saccade.explain import capture

LAYERS, SIZE, HEADS, TOKENS, SENTENCES, VOCABULARY = 12, 768, 12, 512, 2, 1000
LONG, FEW = 8192, 64
SHORT, SHORT_ROUNDS = 128, 400  # for the last comparison, since the noise of a round is several per cent
Form = Callable[[], object]


def build(attention: str, layers: int = LAYERS, longest: int = TOKENS) -> Any:
    from transformers import BertConfig, BertModel

    torch.manual_seed(0)
    config = BertConfig(
        vocab_size=VOCABULARY, hidden_size=SIZE, num_hidden_layers=layers, num_attention_heads=HEADS,
        intermediate_size=4 * SIZE, max_position_embeddings=longest,
    )  # fmt: skip
    return BertModel._from_config(config, attn_implementation=attention).eval()


def form(name: str) -> Form:
    """The function to time."""
    if name.startswith("long"):
        model, ids = build("sdpa", 2, LONG), torch.randint(VOCABULARY, (1, LONG))
    else:
        model, ids = build("eager" if name == "eager" else "sdpa"), torch.randint(VOCABULARY, (SENTENCES, TOKENS))

    def alone() -> object:
        with torch.no_grad():
            return model(ids)

    def eager() -> object:
        with torch.no_grad():
            attentions = model(ids, output_attentions=True).attentions
        return [weights.sum() for weights in attentions], attentions

    def captured(only: str = "*", read: bool = False) -> object:
        with torch.no_grad(), capture(model, only) as seen:
            model(ids)
        return [[weights.sum() for weights in seen[heard]] for heard in seen] if read else seen

    def few() -> object:
        with torch.no_grad(), capture(model, "encoder.layer.1.*", heads=[3], queries=slice(LONG - FEW, LONG)) as seen:
            model(ids)
        [weights] = seen["encoder.layer.1.attention.self"]
        assert weights.shape == (1, 1, FEW, LONG)
        return weights

    forms: dict[str, Form] = {
        "alone": alone, "one layer": lambda: captured("encoder.layer.5.*"), "all layers": captured,
        "all read": lambda: captured(read=True), "eager": eager, "long alone": alone, "long few": few,
    }  # fmt: skip
    return forms[name]


def after_capture(rounds: int) -> float:
    """The time of a model after a capture, relative to one that was never captured, with the same weights in memory."""
    never, before = build("sdpa"), build("sdpa")
    before.load_state_dict(never.state_dict(), assign=True)
    ids = torch.randint(VOCABULARY, (1, SHORT))
    with torch.no_grad():
        with capture(before) as seen:
            before(ids)
        [[weights.sum() for weights in seen[heard]] for heard in seen]
        seconds = alternate({"never": lambda: never(ids), "before": lambda: before(ids)}, rounds)
    return ratio(seconds["before"], seconds["never"])


def main() -> None:
    names = ["alone", "one layer", "all layers", "all read", "eager", "long alone", "long few"]
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--memory-of", choices=names, help="only: run this form once, print its peak in MB")
    parser.add_argument("--write", action="store_true", help="write the result into benchmarks/evidence")
    options = parser.parse_args()
    if options.memory_of:
        kept = form(options.memory_of)()
        print(own_peak())
        del kept
        return
    seconds = alternate({name: form(name) for name in names[:5]}, options.rounds)
    seconds |= alternate({name: form(name) for name in names[5:]}, max(3, options.rounds // 2), warm=1)
    peaks = {
        name: statistics.median(peak_memory(sys.argv[0], ["--memory-of", name]) for _ in range(3)) for name in names
    }
    times = {name: round(ratio(seconds[name], seconds["alone"]), 3) for name in names[1:5]}
    times["long few"] = round(ratio(seconds["long few"], seconds["long alone"]), 3)
    more = {name: round(peaks[name] - peaks["alone"]) for name in names[1:5]}
    more["long few"] = round(peaks["long few"] - peaks["long alone"])
    result = {
        "sizes": {"layers": LAYERS, "size": SIZE, "heads": HEADS, "tokens": TOKENS, "sentences": SENTENCES},
        "seconds": {name: round(statistics.median(values), 3) for name, values in seconds.items()},
        "times_the_model_alone": times, "mb_beyond_the_model_alone": more,
        "alone_after_capture": round(after_capture(SHORT_ROUNDS), 3),
        "rounds": options.rounds,
    }  # fmt: skip
    print(json.dumps(result, indent=1))
    if options.write:
        summary = {
            "capture of one layer and of all 12, beside the model alone": (
                f"{times['one layer']} x and {times['all layers']} x"
            ),
            "... and every map read, beside eager mode that keeps all weights": (
                f"{round(ratio(seconds['all read'], seconds['eager']), 2)} x; more memory than the model alone: "
                f"captured {more['all layers']}, eager {more['eager']} MB"
            ),
            "... 64 rows of one head of 8,192 tokens, beside the model alone": (
                f"{times['long few']} x, {more['long few']} MB more"
            ),
            "a model that was captured before, beside one that never was": f"{result['alone_after_capture']} x",
        }
        print(evidence("capture", summary, result))


if __name__ == "__main__":
    main()
