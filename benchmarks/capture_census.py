"""Capture every architecture of transformers that can be built small, and compare with the weights that it returns.

Each architecture is built with random weights, run in eager mode with `output_attentions`, and run again, alone and
under `capture`, in eager mode and with the fused kernels. A capture is one of

    exact      every map that the model returns was captured
    named      some maps were not captured, but at least as many modules are listed in `unknown`; or nothing was
               captured, and the capture raised an error
    silent     some map was not captured, without a report: a fault
    changed    the output differs from that without capture, or the model fails under it: a fault

Architectures that return no weights, or cannot be built or run from their configuration alone, are counted separately.
"""

import argparse
import contextlib
import gc
import json
import re
import signal
import sys
import warnings
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import torch
from measure import evidence
from torch import Tensor, nn

from saccade.core.errors import NotFound
from saccade.explain import Capture, capture

BATCH, TOKENS, VOCABULARY, SYMBOLS_FROM = 2, 9, 99, 10
MOST_WEIGHTS = 70_000_000
SECONDS = 40  # processor time per architecture
SIZES = {  # fields of a configuration and their small values
    r"vocab_size|.*_vocab_size": VOCABULARY,
    r"num_hidden_layers|n_layers?|num_layers|(encoder|decoder)_layers|num_(encoder|decoder)_layers"
    r"|depth|num_(en|de)coder_blocks|encoder_num_layers|decoder_num_layers": 2,
    r"num_attention_heads|n_heads?|num_heads|(encoder|decoder)_attention_heads|decoder_num_heads|attention_heads"
    r"|encoder_num_heads|num_(en|de)coder_attention_heads|encoder_n_heads?": 4,
    r"num_key_value_heads|num_kv_heads": 2,
    r"hidden_size|d_model|n_embd|embed_dim|dim|emb_dim|embedding_size|encoder_hidden_size|decoder_hidden_size"
    r"|hidden_dim|d_embed|projection_dim|embedding_dim|word_embed_proj_dim|encoder_embed_dim|decoder_embed_dim": 32,
    r"intermediate_size|ffn_dim|(encoder|decoder)_ffn_dim|d_ff|d_inner|n_inner|mlp_dim|ffn_hidden_size": 64,
    r"head_dim|d_kv|attention_head_size|qk_rope_head_dim|qk_nope_head_dim|v_head_dim|d_head|kv_channels": 8,
    r"q_lora_rank|kv_lora_rank": 16,
    r"max_position_embeddings|n_positions|max_seq_len|n_ctx|max_source_positions|max_target_positions": 64,
    r"image_size|input_size|img_size": 32,
    r"patch_size": 8,
    r"num_experts|n_routed_experts|num_local_experts|moe_num_experts": 4,
    r"num_queries|num_query_tokens": 5,
    r"num_experts_per_tok|num_experts_per_token|moe_topk|top_k|moe_top_k|experts_per_token": 2,
    r"n_group|topk_group|num_expert_groups|num_limited_groups": 1,
}  # fmt: skip
GROUPS: tuple[str, ...] = tuple(SIZES)


def classes() -> dict[str, tuple[type, type[nn.Module]]]:
    """The configuration and the base model of every architecture."""
    import transformers
    from transformers.models.auto.modeling_auto import MODEL_MAPPING

    found = {}
    for configuration in MODEL_MAPPING.keys():  # noqa: SIM118
        with contextlib.suppress(Exception):
            model: Any = MODEL_MAPPING[configuration]
            for kind in model if isinstance(model, tuple) else (model,):
                found[kind.__name__] = (configuration, kind)
    assert transformers.__version__
    return dict(sorted(found.items()))


def shrink(config: Any, rules: dict[str, int], seen: set[int] | None = None) -> None:
    """Make a configuration small, including nested ones."""
    seen = set() if seen is None else seen
    if id(config) in seen:
        return
    seen.add(id(config))
    for name, value in list(vars(config).items()):
        if hasattr(value, "model_type") and hasattr(value, "to_dict"):
            shrink(value, rules, seen)
        elif isinstance(value, int) and not isinstance(value, bool):
            if name.endswith(("token_id", "token_index")) and value >= VOCABULARY:
                set_field(config, name, sum(map(ord, name)) % SYMBOLS_FROM)
            size = next((size for rule, size in rules.items() if re.fullmatch(rule, name)), None)
            if size is not None and 0 < size < value:
                set_field(config, name, size)
        elif name == "layer_types" and isinstance(value, list):
            kinds = list(dict.fromkeys(value))
            set_field(config, name, (kinds * 2)[:2])
        elif name == "attn_layer_indices":
            set_field(config, name, [1])
        elif isinstance(value, list) and name in ("depths", "layers", "num_blocks", "num_conv_layers"):
            with contextlib.suppress(TypeError):
                set_field(config, name, [min(each, 1) for each in value])


def set_field(config: Any, name: str, value: Any) -> None:
    with contextlib.suppress(Exception):
        setattr(config, name, value)


def built(configuration: type, kind: type[nn.Module]) -> nn.Module:
    """The smallest model that can be built."""
    all_heads_alike = {**SIZES, GROUPS[3]: SIZES[GROUPS[2]]}
    no_heads = {rule: size for rule, size in SIZES.items() if rule not in (GROUPS[2], GROUPS[3], GROUPS[6])}
    layers_and_words = {rule: SIZES[rule] for rule in (GROUPS[0], GROUPS[1])}
    why: Exception = RuntimeError("nothing was tried")
    for rules in (SIZES, all_heads_alike, no_heads, layers_and_words):
        try:
            try:
                config = configuration()
            except ValueError:
                config = configuration(prediction_length=4, context_length=8)  # a model of time series
            shrink(config, rules)
            with torch.device("meta"):
                sketch = kind._from_config(config, attn_implementation="eager")  # type: ignore[attr-defined]
            count = sum(weight.numel() for weight in sketch.parameters())
            if count > MOST_WEIGHTS:
                raise ValueError(f"{count} weights")
            torch.manual_seed(1)
            model: nn.Module = kind._from_config(config, attn_implementation="eager").eval()  # type: ignore[attr-defined]
            for options in inputs(model):
                with contextlib.suppress(Exception):
                    run(model, options)
                    model.census = options  # type: ignore[assignment]
                    return model
            raise ValueError("no input that was tried is taken")
        except (ImportError, NotImplementedError):
            raise
        except Exception as error:
            why = error
    raise why


def inputs(model: Any) -> Iterator[dict[str, Any]]:
    """Candidate inputs of a model."""
    import inspect

    names = inspect.signature(model.forward).parameters
    config = model.config
    torch.manual_seed(2)
    ids = torch.randint(SYMBOLS_FROM, max(SYMBOLS_FROM + 2, min(VOCABULARY, least(config, "vocab_size", VOCABULARY))),
                        (BATCH, TOKENS))  # fmt: skip
    text: dict[str, Any] = {"input_ids": ids} if "input_ids" in names else {}
    if "decoder_input_ids" in names:
        text["decoder_input_ids"] = ids[:, :5]
    size, channels = least(config, "image_size", 32), least(config, "num_channels", 3)
    images = {"pixel_values": torch.randn(BATCH, channels, size, size)} if "pixel_values" in names else {}
    bands = least(config, "num_mel_bins", 80)
    frames = 2 * least(config, "max_source_positions", 32)
    yield text
    yield text | {"use_cache": False}
    yield images | text
    if "input_features" in names:
        bands = least(config, "feature_projection_input_dim", bands)
        for shape in ((BATCH, bands, frames), (BATCH, frames, bands), (BATCH, 1, frames, bands)):
            sound = text | {"input_features": torch.randn(shape)}
            yield sound
            for mask in ("attention_mask", "input_features_mask", "feature_attention_mask"):
                yield sound | {mask: torch.ones(BATCH, frames, dtype=torch.long)}
    if "input_values" in names:
        more = {"decoder_input_ids": ids[:, :5]} if "decoder_input_ids" in names else {}
        yield more | {"input_values": torch.randn(BATCH, 4000)}
        yield more | {"input_values": torch.randn(BATCH, 1, 4000)}
        yield more | {"input_values": torch.randn(BATCH, 1024, bands)}
    if "past_values" in names:
        yield of_a_series(config)
    if images:
        for other in (64, 128, 224):
            yield text | {"pixel_values": torch.randn(BATCH, channels, other, other)}
        for pictures in (4, least(config, "num_frames", 4)):
            yield text | {"pixel_values": torch.randn(BATCH, pictures, channels, size, size)}
    if "pixel_values_videos" in names:
        yield {"pixel_values_videos": torch.randn(1, 8, channels, size, size)}
    if "bbox" in names:
        yield text | {"bbox": torch.zeros(BATCH, TOKENS, 4, dtype=torch.long)}
    if "visual_feats" in names:
        yield text | {
            "visual_feats": torch.randn(BATCH, 5, config.visual_feat_dim),
            "visual_pos": torch.rand(BATCH, 5, 4),
        }


def of_a_series(config: Any) -> dict[str, Any]:
    past, future = config.context_length + max(config.lags_sequence), config.prediction_length
    return {
        "past_values": torch.randn(BATCH, past),
        "past_time_features": torch.randn(BATCH, past, config.num_time_features),
        "past_observed_mask": torch.ones(BATCH, past),
        "future_values": torch.randn(BATCH, future),
        "future_time_features": torch.randn(BATCH, future, config.num_time_features),
    }


def least(config: Any, name: str, default: int) -> int:
    """The smallest value of this field in a configuration and its nested ones."""
    found = [getattr(config, name, None)]
    found += [
        least(value, name, 0)
        for value in vars(config).values()
        if hasattr(value, "model_type") and hasattr(value, "to_dict")
    ]
    sizes = [value for value in found if isinstance(value, int) and value > 0]
    return min(sizes) if sizes else default


def run(model: Any, options: dict[str, Any], **more: Any) -> Any:
    torch.manual_seed(3)  # some models draw random numbers
    with torch.no_grad():
        return model(**options, **more)


def tensors(value: Any) -> list[Tensor]:
    """All tensors of an output, in order."""
    if isinstance(value, Tensor):
        return [value]
    if hasattr(value, "items"):
        value = [each for _, each in value.items()]
    return [x for each in value for x in tensors(each)] if isinstance(value, list | tuple) else []


def own_weights(model: Any, options: dict[str, Any]) -> list[Tensor]:
    """The weights that a model returns; some models return contexts in their place."""
    found = run(model, options, output_attentions=True)
    items = found.items() if hasattr(found, "items") else ()
    returned = [x for name, value in items if "attentions" in name for x in tensors(value)]
    return [x for x in returned if x.ndim > 2 and bool((x >= 0).all() and (x.sum(-1) < 1.001).all())] or [
        x
        for x in returned
        if x.ndim == 4 and "squeezebert" in model.config.model_type  # which returns its scores
    ]


def same(one: list[Tensor], other: list[Tensor]) -> bool:
    return len(one) == len(other) and all(
        ours.shape == theirs.shape and torch.allclose(ours, theirs, rtol=0, atol=0, equal_nan=True)
        for ours, theirs in zip(one, other, strict=True)
    )


def close(ours: Tensor, theirs: Tensor) -> bool:
    return ours.shape == theirs.shape and torch.allclose(ours, theirs, rtol=1e-3, atol=1e-4, equal_nan=True)


def unseen(seen: Capture, own: list[Tensor]) -> int:
    """The number of maps that a model returns and that were not captured."""
    maps = [weights for name in seen for weights in seen[name]]
    missing = 0
    for weights in own:
        place = next((place for place, ours in enumerate(maps) if is_map(ours, weights)), None)
        missing += place is None
        if place is not None and maps[place].numel() == weights.numel():  # otherwise other maps may also be parts of it
            maps.pop(place)
    return missing


def is_map(ours: Tensor, theirs: Tensor) -> bool:
    """Whether a captured map is the one that a model returns.

    Some models return it without a prompt before it, as the scores, in two parts (T5Gemma2: its first keys as
    self-attention, its last as cross-attention), or as the mean of the heads in place of each (WavLM).
    """
    queries, keys = theirs.shape[-2:]
    for part in (ours[..., -queries:, -keys:], ours[..., -queries:, :keys]):
        if theirs.numel() != part.numel():
            continue
        returned = theirs.reshape(part.shape).to(part.dtype)
        pairs = [(part, returned), (part, returned.softmax(-1))]
        if part.ndim == 4:
            pairs.append((part.mean(1, keepdim=True).expand_as(part), returned))
        if any(torch.allclose(*pair, rtol=1e-4, atol=1e-5, equal_nan=True) for pair in pairs):
            return True
    return False


def judged(model: Any) -> tuple[str, str]:
    """The verdict on a capture of a model, in eager mode and with its default kernels, and the reason."""
    options = model.census
    own = own_weights(model, options)
    if not own:
        return "no weights of its own", ""
    found, eager = ("exact", ""), list[Tensor]()
    for attention in ("eager", "sdpa"):
        try:
            model.set_attn_implementation(attention)
            plain = tensors(run(model, options))
        except Exception:
            if attention == "eager":
                raise
            continue  # the model does not have this kernel
        eager = eager or plain
        if len(plain) != len(eager) or not all(map(close, plain, eager)):
            continue  # with this kernel the model computes something else
        again = tensors(run(model, options))
        try:
            with warnings.catch_warnings(), capture(model) as seen:
                heard = tensors(run(model, options))
        except TimeoutError:
            raise
        except NotFound as error:  # nothing was captured, which is reported
            found = ("named", f"{attention}: {str(error)[:100]}")
            continue
        except Exception as error:
            return "changed", f"{attention}: {type(error).__name__}: {str(error)[:150]}"
        if same(plain, again) and not same(plain, heard):
            return "changed", f"{attention}: the output is another"
        if missing := unseen(seen, own):
            why = "; ".join(f"{name}: {reason}" for name, reason in list(seen.unknown.items())[:2])
            if missing > len(seen.unknown):
                return (
                    "silent",
                    f"{attention}: {missing} of {len(own)} maps are not seen, {len(seen.unknown)} named; {why}",
                )
            found = ("named", f"{attention}: {missing} of {len(own)} maps; {why}")
    return found


def taken(name: str, configuration: type, kind: type[nn.Module]) -> tuple[str, str]:
    """One architecture."""

    def too_long(*_: Any) -> None:
        raise TimeoutError(f"longer than {SECONDS} seconds of the processor")

    signal.signal(signal.SIGPROF, too_long)
    signal.setitimer(signal.ITIMER_PROF, SECONDS)
    try:
        try:
            model = built(configuration, kind)
        except Exception as error:
            return "not built", f"{type(error).__name__}: {str(error).strip()[:100]}"
        try:
            return judged(model)
        except TimeoutError:
            return "too slow", f"longer than {SECONDS} seconds of the processor"
        except Exception as error:
            return "no weights of its own", f"{type(error).__name__}: {str(error).strip()[:100]}"
    finally:
        signal.setitimer(signal.ITIMER_PROF, 0)
        gc.collect()


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--only", default="", help="a part of the names of the architectures")
    parser.add_argument("--again", metavar="FILE", help="a result: only what is not exact in it is run again")
    parser.add_argument("--write", action="store_true", help="write the result into benchmarks/evidence")
    options = parser.parse_args()
    warnings.simplefilter("ignore")
    import transformers

    transformers.utils.logging.set_verbosity_error()
    found: dict[str, tuple[str, str]] = {}
    before = json.loads(Path(options.again).read_text(encoding="utf-8")) if options.again else {"exact": []}
    if options.again and before["transformers"] != transformers.__version__:
        sys.exit(f"{options.again} is of transformers {before['transformers']}, not {transformers.__version__}")
    for name, (configuration, kind) in classes().items():
        if name in before["exact"]:
            found[name] = "exact", ""
        elif options.only.lower() in name.lower():
            found[name] = taken(name, configuration, kind)
            print(f"{name:44} {found[name][0]:22} {found[name][1]}", flush=True)
    counts = Counter(what for what, _ in found.values())
    compared = sum(counts[what] for what in ("exact", "named", "silent", "changed"))
    result: dict[str, Any] = {
        "transformers": transformers.__version__,
        "architectures": len(found),
        "counts": dict(sorted(counts.items())),
        **({"exact_ones_from": Path(options.again).name} if options.again else {}),
        **{
            what: {name: why for name, (is_, why) in found.items() if is_ == what}
            for what in ("named", "silent", "changed")
        },
        "exact": [name for name, (is_, _) in found.items() if is_ == "exact"],
    }
    print(json.dumps({name: value for name, value in result.items() if name != "exact"}, indent=1))
    if options.write:
        summary = {
            "architectures of transformers whose weights, as captured, are those that they return": (
                f"{counts['exact']} of {compared}; {counts['named']} named as not so, {counts['silent']} silent, "
                f"{counts['changed']} with another output"
            )
        }
        print(evidence("capture_census", summary, result))


if __name__ == "__main__":
    main()
