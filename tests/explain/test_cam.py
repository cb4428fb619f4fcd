from typing import Any

import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional

from saccade.core.errors import InvalidInput, NotFound
from saccade.explain.cam import ablation_cam, cam, grad_cam, grad_cam_plus_plus, layer_cam, score_cam
from saccade.explain.grids import Grid, grid_of
from saccade.explain.replay import Replay

IMAGES, CLASSES, CHANNELS, SIDE = 2, 5, 7, 12
METHODS = [ablation_cam, cam, grad_cam, grad_cam_plus_plus, layer_cam, score_cam]
DECKS = [ablation_cam, grad_cam, score_cam]


def pooled(bias: float = 0.0) -> nn.Sequential:
    """A net with global pooling and a linear head; its last map with spatial extent is that of layer 4."""
    torch.manual_seed(0)
    net = nn.Sequential(
        nn.Conv2d(3, 4, 3, padding=1), nn.BatchNorm2d(4), nn.ReLU(inplace=True), nn.Conv2d(4, CHANNELS, 3, 2),
        nn.ReLU(inplace=True), nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Dropout(), nn.Linear(CHANNELS, CLASSES),
    ).double()  # fmt: skip
    with torch.no_grad():
        net[-1].bias += bias
    return net


def pictures(count: int = IMAGES, height: int = SIDE, width: int = SIDE) -> Tensor:
    return torch.rand(count, 3, height, width, dtype=torch.float64, generator=torch.Generator().manual_seed(1))


class Block(nn.Module):
    """A pre-norm block of a Transformer over tokens."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.norm1, self.norm2 = nn.LayerNorm(width), nn.LayerNorm(width)
        self.attention = nn.MultiheadAttention(width, 2, batch_first=True)
        self.mlp = nn.Sequential(nn.Linear(width, 11), nn.GELU(), nn.Linear(11, width))

    def forward(self, tokens: Tensor) -> Tensor:
        normed = self.norm1(tokens)
        tokens = tokens + self.attention(normed, normed, normed)[0]
        return tokens + self.mlp(self.norm2(tokens))


class ViT(nn.Module):
    """Tokens with a class token in front, which alone is classified."""

    def __init__(self, before: int = 1) -> None:
        super().__init__()
        torch.manual_seed(0)
        self.patches = nn.Conv2d(3, 8, 3, 3)
        self.front = nn.Parameter(torch.randn(1, before, 8))
        self.blocks = nn.Sequential(Block(8), Block(8))
        self.norm, self.head = nn.LayerNorm(8), nn.Linear(8, CLASSES)
        self.double()

    def forward(self, images: Tensor) -> Tensor:
        tokens = self.patches(images).flatten(2).mT
        tokens = self.blocks(torch.cat([self.front.expand(len(images), -1, -1), tokens], 1))
        return self.head(self.norm(tokens)[:, 0])


class Residual(nn.Module):
    """A shared in-place activation, functional operations that write in place, a skip, and a tuple of outputs."""

    def __init__(self, functional_write: bool = False) -> None:
        super().__init__()
        torch.manual_seed(0)
        self.first, self.second, self.third = (nn.Conv2d(n, 6, 3, padding=1) for n in (3, 6, 6))
        self.relu, self.head = nn.ReLU(inplace=True), nn.Linear(6, CLASSES)
        self.write = functional_write
        self.double()

    def forward(self, images: Tensor) -> tuple[Tensor, str]:
        maps = self.first(images)
        if self.write:
            maps += 0.25
        maps = self.relu(maps)
        maps = self.relu(self.second(maps)) + maps
        maps = self.relu(self.third(maps)) + maps
        return self.head(maps.mean((-2, -1))), "and more"


def features(net: nn.Sequential, images: Tensor) -> Tensor:
    with torch.no_grad():
        return net.eval()[:5](images)


def whole_falls(net: nn.Module, layer: nn.Module, read: Any, images: Tensor, targets: Tensor, last: int = 1) -> Tensor:
    """The oracle: the whole network for each image, channel and target; `read` is a view of the layer's channel k.

    Of the calls of the layer, the one with this number is changed.
    """
    found = []
    for image, classes in zip(images, targets, strict=True):

        def logits(channel: int | None = None, image: Tensor = image) -> Tensor:
            calls = 0

            def ablate(module: nn.Module, inputs: Any, output: Tensor) -> Tensor:
                nonlocal calls
                calls, output = calls + 1, output.clone()
                if channel is not None and calls == last:
                    read(output, channel).zero_()
                return output

            handle = layer.register_forward_hook(ablate)
            try:
                with torch.no_grad():
                    output = net.eval()(image[None])
            finally:
                handle.remove()
            return (output[0] if isinstance(output, tuple) else output)[0]

        channels = 8 if isinstance(net, ViT) else 6
        found.append(torch.stack([logits()[classes] - logits(k)[classes] for k in range(channels)], 1))
    return torch.stack(found)


def test_cam_is_the_heads_weights_times_the_maps() -> None:
    net, images, targets = pooled(), pictures(), torch.tensor([[0, 3], [4, 1]])
    maps, weights = features(net, images), net[-1].weight
    found = cam(net, images, targets, signed=True)
    for b in range(IMAGES):
        for t in range(2):
            expected = sum(weights[targets[b, t], k].detach() * maps[b, k] for k in range(CHANNELS))
            torch.testing.assert_close(found.maps[b, t], expected)
    assert found.layer == "4"
    torch.testing.assert_close(found.scores, net(images).detach().gather(1, targets))


def test_grad_cam_is_cam_up_to_the_number_of_places() -> None:
    net, images = pooled(), pictures()
    expected = cam(net, images, signed=True)
    found = grad_cam(net, images, signed=True)
    torch.testing.assert_close(found.maps * found.maps[0, 0].numel(), expected.maps)
    torch.testing.assert_close(grad_cam(net, images).maps, found.maps.relu())
    torch.testing.assert_close(found.targets[:, 0], net.eval()(images).argmax(1))


def test_layer_cam_and_grad_cam_plus_plus_are_their_sums() -> None:
    net, images = pooled(), pictures()
    maps = features(net, images)
    slope = net[-1].weight[2].detach() / maps[0, 0].numel()  # the same at each place
    expected = torch.einsum("k,bkyx->byx", slope.relu(), maps)
    torch.testing.assert_close(layer_cam(net, images, 2, signed=True).maps[:, 0], expected)
    for b in range(IMAGES):
        total = torch.zeros_like(maps[0, 0])
        for k in range(CHANNELS):
            share = slope[k] ** 2 / (2 * slope[k] ** 2 + maps[b, k].sum() * slope[k] ** 3)
            total += share * slope[k].relu() * maps[0, 0].numel() * maps[b, k]
        torch.testing.assert_close(grad_cam_plus_plus(net, images, 2, signed=True).maps[b, 0], total)


def test_ablation_cam_in_closed_form() -> None:
    net, images, targets = pooled(), pictures(), torch.tensor([[0, 1, 2, 3, 4]])
    maps, weights = features(net, images), net[-1].weight.detach()
    scores = net(images).detach()
    falls = weights * maps.mean((-2, -1))[:, None]  # b t k: w_k mean(A_k)
    raw = ablation_cam(net, images, targets, signed=True, relative=False, batch_size=3)
    torch.testing.assert_close(raw.maps, torch.einsum("btk,bkyx->btyx", falls, maps))
    found = ablation_cam(net, images, targets, signed=True)
    torch.testing.assert_close(found.maps, raw.maps / scores.abs()[..., None, None])
    assert (scores < 0).any()  # where the paper's formula turns the map around


def test_ablation_cam_divides_safely_by_a_score_of_zero() -> None:
    net, images = pooled(), pictures(1)
    with torch.no_grad():
        net[-1].bias -= net.eval()(images)[0]  # all scores are 0
    found = ablation_cam(net, images, 1, signed=True).maps
    raw = ablation_cam(net, images, 1, signed=True, relative=False).maps
    assert found.isfinite().all()
    torch.testing.assert_close(found / found.abs().max(), raw / raw.abs().max())


@pytest.mark.parametrize("write", [False, True])
@pytest.mark.parametrize("layer", ["second", "third", "relu", "first"])
def test_ablation_cam_computes_only_what_follows_and_is_the_whole_network(layer: str, write: bool) -> None:
    net, images, targets = Residual(write), pictures(), torch.tensor([[1, 0], [2, 3]])
    found = ablation_cam(net, images, targets, layer=layer, signed=True, relative=False)
    with torch.no_grad():
        replay = Replay(net, getattr(net, layer), images[:1])
    assert replay.shortened
    last = 3 if layer == "relu" else 1  # its last call; the first two are left as they are
    falls = whole_falls(net, getattr(net, layer), lambda output, k: output[:, k], images, targets, last)
    handle_output: list[Tensor] = []
    handle = getattr(net, layer).register_forward_hook(lambda m, i, o: handle_output.append(o.detach().clone()))
    net(images)
    handle.remove()
    torch.testing.assert_close(found.maps, torch.einsum("btk,bkyx->btyx", falls, handle_output[-1]))


def test_modules_before_the_layer_do_not_run_again() -> None:
    net, calls = pooled(), []
    net[0].register_forward_hook(lambda *_: calls.append("hook"))
    forward = net[0].forward
    net[0].forward = lambda images: (calls.append("computed"), forward(images))[1]
    ablation_cam(net, pictures(1), layer="4", batch_size=1)
    assert calls.count("computed") == 2  # for the map, and for the record
    assert "forward" in vars(net[0])  # the model's own is back


def test_a_model_that_calls_its_modules_in_another_order_runs_whole() -> None:
    class Fickle(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.net, self.other, self.calls = pooled(), nn.Identity(), 0

        def forward(self, images: Tensor) -> Tensor:
            self.calls += 1
            return self.net(self.other(images) if self.calls % 3 == 0 else images)

    images = pictures(1)
    expected = ablation_cam(pooled(), images, 1).maps
    torch.testing.assert_close(ablation_cam(Fickle(), images, 1, layer="net.4").maps, expected)


def brute_score_cam(net: nn.Sequential, image: Tensor, target: int, softmax: bool) -> Tensor:
    maps = features(net, image[None])[0]
    blank = net(torch.zeros_like(image)[None])[0, target].detach()
    increases = []
    for one in maps:
        large = functional.interpolate(one[None, None], image.shape[1:], mode="bilinear", align_corners=False)[0, 0]
        spread = float(large.max() - large.min()) if one.max() > one.min() else 0
        mask = (large - large.min()) / spread if spread > 0 else torch.zeros_like(large)
        increases.append(net((image * mask)[None])[0, target].detach() - blank)
    weights = torch.stack(increases)
    if softmax:
        weights = weights.exp() / weights.exp().sum()
    return sum(weight * one for weight, one in zip(weights, maps, strict=True))


@pytest.mark.parametrize("weights", ["softmax", "increase"])
def test_score_cam_is_a_loop_over_the_maps_and_ignores_a_constant(weights: Any) -> None:
    net, images, targets = pooled(), pictures(), torch.tensor([[0, 3], [4, 1]])
    with torch.no_grad():
        net[3].weight[2], net[3].bias[2] = 0, 0.7  # a map without contrast
    found = score_cam(net, images, targets, signed=True, weights=weights, batch_size=3).maps
    for b in range(IMAGES):
        for t in range(2):
            expected = brute_score_cam(net, images[b], int(targets[b, t]), weights == "softmax")
            torch.testing.assert_close(found[b, t], expected)
    with torch.no_grad():
        net[-1].bias += 1000.0
    torch.testing.assert_close(score_cam(net, images, targets, signed=True, weights=weights).maps, found)


@pytest.mark.parametrize("method", DECKS)
def test_images_at_once_equal_one_at_a_time(method: Any) -> None:
    net, images = pooled(), pictures()
    both = method(net, images, [1, 4], signed=True)
    for b, target in enumerate((1, 4)):
        torch.testing.assert_close(method(net, images[b : b + 1], target, signed=True).maps[0], both.maps[b])
    assert both.maps.shape == (IMAGES, 1, 5, 5)


@pytest.mark.parametrize("before", [1, 2])
def test_tokens_of_a_vit_are_understood(before: int) -> None:
    net, images = ViT(before), pictures(height=12, width=18)
    for method in (ablation_cam, grad_cam, grad_cam_plus_plus, layer_cam, score_cam):
        found = method(net, images)
        # of the last block's output only the class token is used
        assert (found.layer, found.maps.shape) == ("blocks.1.norm1", (IMAGES, 1, 4, 6))
    targets = torch.tensor([[3], [2]])
    falls = whole_falls(net, net.blocks[0], lambda output, k: output[:, before:, k], images, targets)
    with torch.no_grad():
        tokens = net.blocks[0](torch.cat([net.front.expand(2, -1, -1), net.patches(images).flatten(2).mT], 1))
    maps = tokens[:, before:].unflatten(1, (4, 6))
    found = ablation_cam(net, images, targets, layer="blocks.0", signed=True, relative=False).maps
    torch.testing.assert_close(found, torch.einsum("btk,byxk->btyx", falls, maps))


def test_channels_last_maps_are_understood() -> None:
    class Last(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.net, self.norm = pooled(), nn.LayerNorm(CHANNELS).double()

        def forward(self, images: Tensor) -> Tensor:
            return self.net[-1](self.norm(self.net[:5](images).movedim(1, -1)).mean((1, 2)))

    found = grad_cam(Last(), pictures(), signed=True)
    assert (found.layer, found.maps.shape) == ("norm", (IMAGES, 1, 5, 5))
    torch.testing.assert_close(found.maps * 25, cam(Last(), pictures(), signed=True).maps)


def test_grids() -> None:
    def grid(*shape: int, size: tuple[int, int] = (224, 224)) -> Any:
        return grid_of(torch.zeros(shape, device="meta"), *size)

    assert grid(1, 196, 8) == Grid("bnc", 14, 14, 0)
    assert grid(1, 197, 8) == Grid("bnc", 14, 14, 1)
    assert grid(1, 198, 8) == Grid("bnc", 14, 14, 2)
    assert grid(1, 261, 8) == Grid("bnc", 16, 16, 5)  # with register tokens
    assert grid(1, 7, 7, 768) == Grid("byxc", 7, 7)
    assert grid(1, 768, 7, 7) == grid(1, 7, 7, 7)._replace(axes="bcyx") == Grid("bcyx", 7, 7)
    assert grid(1, 2, 4, 9, size=(64, 128)) == Grid("byxc", 2, 4)
    assert grid(1, 33, 8, size=(32, 64)) == Grid("bnc", 4, 8, 1)
    for none in ((1, 512), (1, 512, 1, 1), (1, 24, 1), (1, 1, 8), (1, 3, 20), (1, 8, 197, 64)):
        assert grid(*none) is None


@pytest.mark.unhooked
@pytest.mark.parametrize(
    ("name", "sizes", "layer"),
    [
        (
            "ViT",
            {"image_size": 16, "patch_size": 4, "num_hidden_layers": 2, "intermediate_size": 20},
            "layernorm_before",
        ),
        ("Swin", {"image_size": 32, "patch_size": 2, "embed_dim": 12, "depths": [1, 1], "window_size": 4}, "layernorm"),
    ],
)
def test_models_of_hugging_face_need_no_reshape(name: str, sizes: dict[str, Any], layer: str) -> None:
    transformers = pytest.importorskip("transformers")
    width = {"hidden_size": 16, "num_attention_heads": 2} if name == "ViT" else {"num_heads": [2, 2]}
    torch.manual_seed(0)
    config = getattr(transformers, f"{name}Config")(**sizes, **width, num_labels=CLASSES)
    model = getattr(transformers, f"{name}ForImageClassification")(config)
    images = torch.rand(IMAGES, 3, sizes["image_size"], sizes["image_size"])
    for method in DECKS:
        found = method(model, images, torch.tensor([[0, 1]]), signed=True)
        assert found.layer.split(".")[-1] == layer
        assert found.maps.shape[:2] == (IMAGES, 2)
        assert found.maps.shape[2:] == ((4, 4) if name == "ViT" else (8, 8))
        assert found.maps.abs().sum() > 0
    with torch.no_grad():
        assert Replay(model.eval(), model.get_submodule(found.layer), images[:1]).shortened


@pytest.mark.parametrize("method", METHODS)
def test_the_model_is_left_as_it_was_even_if_it_raises(method: Any) -> None:
    class Failing(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.net, self.fails = pooled(), False

        def forward(self, images: Tensor) -> Tensor:
            found = self.net(images)
            if self.fails:
                raise KeyError("the user's own")
            return found

    model = Failing()
    model.net[1].eval()
    model.net[0].weight.requires_grad_(False)
    statistics, seen = model.net[1].running_mean.clone(), []
    handle = model.net[4].register_forward_hook(lambda *_: seen.append(1))

    def state() -> Any:
        return (
            [module.training for module in model.modules()],
            [weight.requires_grad for weight in model.parameters()],
            [(list(module._forward_hooks), "forward" in vars(module)) for module in model.modules()],
        )

    before, images = state(), pictures()
    with torch.no_grad():
        method(model, images)
        assert not torch.is_grad_enabled()
    assert state() == before
    assert seen
    assert all(weight.grad is None for weight in model.parameters())
    model.fails = True
    with pytest.raises(KeyError, match="the user's own"):
        method(model, images, layer="net.4")
    assert state() == before
    torch.testing.assert_close(model.net[1].running_mean, statistics)
    handle.remove()


def test_it_works_in_inference_mode_and_on_frozen_models() -> None:
    net = pooled()
    expected = grad_cam(net, pictures()).maps
    with torch.inference_mode():
        torch.testing.assert_close(grad_cam(net, pictures()).maps, expected)
    net.requires_grad_(False)
    torch.testing.assert_close(grad_cam(net, pictures()).maps, expected)


@pytest.mark.parametrize("method", METHODS)
def test_weights_made_in_inference_mode_are_no_obstacle(method: Any) -> None:
    with torch.inference_mode():
        net = pooled()
    weights = [*net.parameters(), *net.buffers()]
    torch.testing.assert_close(method(net, pictures(), 1).maps, method(pooled(), pictures(), 1).maps)
    assert all(one is two for one, two in zip(weights, [*net.parameters(), *net.buffers()], strict=True))
    assert all(weight.is_inference() for weight in net.parameters())


def test_a_model_that_runs_in_inference_mode_needs_a_method_without_gradients() -> None:
    class Fast(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.net = pooled()

        @torch.inference_mode()
        def forward(self, images: Tensor) -> Tensor:
            return self.net(images)

    with pytest.raises(InvalidInput, match="ablation_cam or score_cam, which need no gradient"):
        grad_cam(Fast(), pictures(), 1)
    for method in (ablation_cam, score_cam):
        torch.testing.assert_close(method(Fast(), pictures(), 1).maps, method(pooled(), pictures(), 1).maps)


@pytest.mark.unhooked
def test_compiled_models_run_as_they_were_written() -> None:
    net = pooled()
    expected = [method(net, pictures(), 1).maps for method in METHODS]
    compiled = torch.compile(net, backend="eager")
    for method, maps in zip(METHODS, expected, strict=True):
        torch.testing.assert_close(method(compiled, pictures(), 1).maps, maps)


@pytest.mark.unhooked
@pytest.mark.parametrize("method", METHODS)
def test_images_of_another_number_of_channels_are_one_sentence(method: Any) -> None:
    with pytest.raises(InvalidInput, match=r"takes images of 3 channels, not 1; repeat it with images.expand\(-1, 3"):
        method(pooled(), pictures()[:, :1])
    with pytest.raises(InvalidInput, match=r"takes images of 3 channels, not 4$"):
        method(pooled(), torch.rand(1, 4, 12, 12, dtype=torch.float64))
    grey = nn.Sequential(nn.Conv2d(1, 4, 3), nn.ReLU(), nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(4, 5))
    assert method(grey, torch.rand(1, 1, 12, 12)).maps.shape == (1, 1, 10, 10)


def test_a_frozen_trunk_without_gradients_is_no_obstacle_but_a_whole_model_is() -> None:
    class Frozen(nn.Module):
        def __init__(self, whole: bool) -> None:
            super().__init__()
            self.net, self.whole = pooled(), whole

        def forward(self, images: Tensor) -> Tensor:
            with torch.no_grad():
                maps = self.net[:5](images)
                if self.whole:
                    return self.net[5:](maps)
            return self.net[5:](maps)

    expected = grad_cam(pooled(), pictures(), 1).maps
    found = grad_cam(Frozen(False), pictures(), 1)
    assert found.layer == "net.4"
    torch.testing.assert_close(found.maps, expected)
    with pytest.raises(InvalidInput, match=r"no gradient at net.4, as if the model runs in torch.no_grad\(\)"):
        grad_cam(Frozen(True), pictures(), 1)
    torch.testing.assert_close(
        ablation_cam(Frozen(True), pictures(), 1).maps, ablation_cam(pooled(), pictures(), 1).maps
    )


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        ({"targets": 5}, "the classes are 0 to 4; there is no class 5"),
        ({"targets": -1}, "there is no class -1"),
        ({"targets": 1.5}, "expected the numbers of classes as targets, not 1.5"),
        ({"targets": "dog"}, "expected the numbers of classes as targets, not 'dog'"),
        ({"targets": [1, 2, 3]}, r"for 2 images, not \(3,\)"),
        (
            {"layer": "5"},
            r"layer '5' has no spatial extent: its output \(2, 7, 1, 1\) is no grid over",
        ),
        ({"layer": "44"}, "the model has no layer '44'; did you mean '4'?"),
        ({"images": torch.rand(3, 12, 12)}, r"not torch.float32 \(3, 12, 12\); add the batch with image\[None\]"),
        ({"images": torch.zeros(1, 3, 12, 12, dtype=torch.uint8)}, "expected images of floats"),
        ({"images": torch.zeros(0, 3, 12, 12)}, "expected images of floats"),
        ({"images": [1]}, "not list"),
        ({"model": nn.Conv2d(3, 5, 1).double(), "layer": None}, "no layer of this model|expected a classifier"),
        ({"model": 3}, "expected a module, not int"),
    ],
)
@pytest.mark.unhooked
@pytest.mark.parametrize("method", DECKS)
def test_bad_input_is_one_sentence(method: Any, arguments: dict[str, Any], sentence: str) -> None:
    given = {"model": pooled(), "images": pictures(), "targets": None} | arguments
    with pytest.raises((InvalidInput, NotFound), match=sentence):
        method(given.pop("model"), given.pop("images"), **given)


@pytest.mark.unhooked
def test_options_out_of_range_are_one_sentence() -> None:
    with pytest.raises(InvalidInput, match="batch_size must be a whole number from 1, not 0"):
        score_cam(pooled(), pictures(), batch_size=0)
    with pytest.raises(InvalidInput, match='weights must be "softmax" or "increase", not \'max\''):
        score_cam(pooled(), pictures(), weights="max")  # type: ignore[arg-type]
    with pytest.raises(InvalidInput, match=r"CAM needs a linear head .* feature map of 0; .* use grad_cam"):
        cam(pooled(), pictures(), layer="0")
    with pytest.raises(InvalidInput, match="does not call layer '0'"):
        grad_cam(Unused(), pictures(), layer="0")


class Unused(nn.Sequential):
    def __init__(self) -> None:
        super().__init__(nn.ReLU(), pooled())

    def forward(self, images: Tensor) -> Tensor:
        return self[1](images)


class Encoder(nn.Module):
    """A vision Transformer of torch's own layers, whose fast path does not call their parts."""

    def __init__(self) -> None:
        super().__init__()
        torch.manual_seed(0)
        self.patches, self.first = nn.Conv2d(3, 8, 4, 4), nn.Parameter(torch.randn(1, 1, 8))
        layer = nn.TransformerEncoderLayer(8, 2, 16, dropout=0.0, batch_first=True, norm_first=True)
        self.encoder = nn.TransformerEncoder(layer, 2, enable_nested_tensor=False)
        self.head = nn.Linear(8, CLASSES)

    def forward(self, images: Tensor) -> Tensor:
        tokens = torch.cat([self.first.expand(len(images), -1, -1), self.patches(images).flatten(2).mT], 1)
        return self.head(self.encoder(tokens)[:, 0])


@pytest.mark.parametrize("method", [grad_cam, ablation_cam, score_cam], ids=lambda one: one.__name__)
@pytest.mark.parametrize("training", [False, True])
def test_torchs_own_transformer_is_seen_within(method: Any, training: bool) -> None:
    net, images = Encoder().train(training), torch.randn(2, 3, 16, 16)
    before = torch.backends.mha.get_fastpath_enabled()
    found = method(net, images, 1)
    assert found.layer == "encoder.layers.1.norm1"
    assert found.maps.shape == (2, 1, 4, 4)
    assert found.maps.any()
    assert torch.backends.mha.get_fastpath_enabled() == before
    assert net.training == training


def test_a_layer_of_which_the_class_token_alone_is_read_is_refused() -> None:
    with pytest.raises(InvalidInput, match=r"the scores rest on other tokens of encoder\.layers\.1 than those of the"):
        grad_cam(Encoder(), torch.randn(2, 3, 16, 16), 1, layer="encoder.layers.1")


def test_score_cam_of_maps_without_contrast_is_that_of_the_blank_image() -> None:
    net = nn.Sequential(nn.Conv2d(3, 8, 3), nn.ReLU(), nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(8, CLASSES))
    found = score_cam(net, torch.ones(2, 3, 9, 9), 1)
    maps = net[:2](torch.ones(2, 3, 9, 9)).detach()
    torch.testing.assert_close(found.maps, maps.mean(1, keepdim=True))  # all weights of the softmax are equal
