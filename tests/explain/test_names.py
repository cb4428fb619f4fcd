"""Readable names of layers, and words of tokens, as the page shows them."""

from saccade.explain.names import grouped, readable


def test_a_layer_is_named_by_its_place_and_its_kind() -> None:
    paths = [
        "encoder.blocks.0.self_attention.weights", "decoder.blocks.1.cross_attention.weights",
        "decoder.blocks.1.self_attention.weights",
    ]  # fmt: skip
    said = ["encoder 0, self-attention", "decoder 1, attention to the source", "decoder 1, self-attention"]
    assert readable(paths) == said
    assert readable(["model.decoder.layers.3.encoder_attn"]) == ["decoder 3, attention to the source"]
    assert readable(["encoder.block.0.layer.0.SelfAttention"]) == ["layer 0, self-attention"]
    assert readable(["encoder.layer.3.attention.self", "encoder.layer.11.attention.self"]) == [
        "layer 3, self-attention", "layer 11, self-attention",
    ]  # fmt: skip
    assert readable(["h.5.attn"]) == ["layer 5, self-attention"]
    assert readable(["decoder.recurrent.attention.weights"]) == ["decoder, attention to the source"]


def test_other_paths_are_their_own_words_and_no_two_layers_have_one_name() -> None:
    assert readable(["read_weights", "first"]) == ["read weights", "first"]
    assert readable(["block.0.attention", "layer.0.attention"]) == ["block.0.attention", "layer.0.attention"]
    assert readable([]) == []


def test_pieces_are_grouped_to_words() -> None:
    assert grouped(["▁un", "believ", "able", ".", "</s>"]) == [["unbelievable", 3], [".", 1], ["end", 1]]
    assert grouped(["a", "b"]) is None
