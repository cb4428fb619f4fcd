"""Attention rollout and gradient-weighted attention, against slow loops over explicit weights."""

import math
from typing import Any

import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from saccade.attention import MultiHeadAttention
from saccade.core.errors import InvalidInput, NotFound
from saccade.explain.rollout import attention_relevance, attention_rollout, token_relevance, token_rollout

IMAGES, CLASSES, WIDTH, HEADS, PATCH = 2, 5, 6, 3, 4


class Explicit(nn.Module):
    """Self-attention whose weights can be read, and keep their gradients."""

    def __init__(self) -> None:
        super().__init__()
        self.project, self.output = nn.Linear(WIDTH, 3 * WIDTH), nn.Linear(WIDTH, WIDTH)
        self.weights = torch.empty(0)

    def forward(self, tokens: Tensor) -> Tensor:
        query, keys, values = self.project(tokens).unflatten(-1, (3, HEADS, -1)).permute(2, 0, 3, 1, 4)
        self.weights = (query @ keys.mT / math.sqrt(WIDTH / HEADS)).softmax(-1)
        return self.output((self.weights @ values).transpose(1, 2).flatten(2))


class Fused(Explicit):
    """The same by the fused kernel."""

    def forward(self, tokens: Tensor) -> Tensor:
        query, keys, values = self.project(tokens).unflatten(-1, (3, HEADS, -1)).permute(2, 0, 3, 1, 4)
        return self.output(F.scaled_dot_product_attention(query, keys, values).transpose(1, 2).flatten(2))


class Torch(nn.Module):
    def __init__(self, read: bool) -> None:
        super().__init__()
        self.attention, self.read = nn.MultiheadAttention(WIDTH, HEADS, batch_first=True), read

    def forward(self, tokens: Tensor) -> Tensor:
        return self.attention(tokens, tokens, tokens, need_weights=self.read)[0]


class Tapped(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.attention = MultiHeadAttention(WIDTH, HEADS)

    def forward(self, tokens: Tensor) -> Tensor:
        return self.attention(tokens, tokens)


class Net(nn.Module):
    """A ViT whose head reads the class tokens, or the mean over all tokens; and a softmax that is not attention."""

    def __init__(self, kind: Any = Explicit, before: int = 1, mean: bool = False) -> None:
        super().__init__()
        torch.manual_seed(0)
        self.patches = nn.Conv2d(3, WIDTH, PATCH, PATCH)
        self.front, self.mean = nn.Parameter(torch.randn(1, before, WIDTH)), mean
        self.layers = nn.ModuleList(kind() for _ in range(3))
        self.gate, self.head = nn.Linear(WIDTH, WIDTH), nn.Linear(WIDTH, CLASSES)
        self.double()

    def forward(self, images: Tensor) -> Tensor:
        patches = self.patches(images).flatten(2).mT
        tokens = torch.cat([self.front.expand(len(images), -1, -1), patches], 1)
        for layer in self.layers:
            tokens = tokens + layer(tokens).tanh()
            tokens = tokens * self.gate(tokens).softmax(-1).amax(-1, keepdim=True)
        return self.head(tokens.mean(1) if self.mean else tokens[:, : self.front.shape[1]].mean(1))


def like(net: nn.Module, kind: Any, *args: Any) -> Net:
    """The same weights in another form of attention."""
    other = Net(lambda: kind(*args))
    with torch.no_grad():
        for own, layer in zip(other.layers, net.layers, strict=True):
            named = {name.split(".")[-1]: weight for name, weight in own.named_parameters()}
            if kind is Torch:
                named["in_proj_weight"].copy_(layer.project.weight)
                named["in_proj_bias"].copy_(layer.project.bias)
                own.attention.out_proj.load_state_dict(layer.output.state_dict())
            elif kind is Tapped:
                layer.project.bias.zero_()
                layer.output.bias.zero_()
                parts = (own.attention.query, own.attention.key, own.attention.value)
                for part, weight in zip(parts, layer.project.weight.chunk(3), strict=True):
                    part.weight.copy_(weight)
                own.attention.output.weight.copy_(layer.output.weight)
            else:
                own.load_state_dict(layer.state_dict())
        rest = {name: weight for name, weight in net.state_dict().items() if not name.startswith("layers")}
        other.load_state_dict(rest, strict=False)
    return other


def pictures(high: int = 8, wide: int = 12) -> Tensor:
    return torch.rand(IMAGES, 3, high, wide, dtype=torch.float64, generator=torch.Generator().manual_seed(1))


def weights_of(net: Any, images: Tensor, target: int) -> list[tuple[Tensor, Tensor]]:
    """The weights of each layer, and the gradients of a class's score with respect to them."""
    scores = net.eval()(images)[:, target].sum()
    weights = [layer.weights for layer in net.layers]
    return [(one.detach(), slope) for one, slope in zip(weights, torch.autograd.grad(scores, weights), strict=True)]


def times(a: list[list[float]], b: list[list[float]]) -> list[list[float]]:
    n = len(a)
    return [[sum(a[i][m] * b[m][j] for m in range(n)) for j in range(n)] for i in range(n)]


def loop_rollout(layers: list[Tensor], heads: str, residual: float) -> list[list[float]]:
    """For one image; weights (h, t, t)."""
    n = layers[0].shape[-1]
    found = [[float(i == j) for j in range(n)] for i in range(n)]
    fuse: Any = {"mean": lambda values: sum(values) / len(values), "max": max, "min": min}[heads]
    for weights in layers:
        mixed = []
        for i in range(n):
            row = [fuse([float(head[i, j]) for head in weights]) for j in range(n)]
            mixed.append([(1 - residual) * w / sum(row) + residual * (i == j) for j, w in enumerate(row)])
        found = times(mixed, found)
    return found


def loop_relevance(layers: list[tuple[Tensor, Tensor]]) -> list[list[float]]:
    """R = R + mean_h relu(slope * weights) R, less the identity that it begins with; for one image."""
    n = layers[0][0].shape[-1]
    found = [[float(i == j) for j in range(n)] for i in range(n)]
    for weights, slopes in layers:
        mean = [
            [sum(max(0.0, float(a[i, j] * g[i, j])) for a, g in zip(weights, slopes, strict=True)) / HEADS
             for j in range(n)] for i in range(n)
        ]  # fmt: skip
        more = times(mean, found)
        found = [[a + b for a, b in zip(one, two, strict=True)] for one, two in zip(found, more, strict=True)]
    return [[x - (i == j) for j, x in enumerate(row)] for i, row in enumerate(found)]


@pytest.mark.parametrize("heads", ["mean", "max", "min"])
def test_rollout_is_a_loop_over_the_layers(heads: Any) -> None:
    net, images = Net(), pictures()
    found = token_rollout(net, images, heads=heads, residual=0.3)
    layers = [weights for weights, _ in weights_of(net, images, 0)]
    for b in range(IMAGES):
        expected = loop_rollout([weights[b] for weights in layers], heads, 0.3)
        torch.testing.assert_close(found.relevances[b, 0], torch.tensor(expected[0], dtype=torch.float64))
    torch.testing.assert_close(found.relevances.sum(-1), torch.ones(IMAGES, 1, dtype=torch.float64))
    assert found.layers == ["layers.0", "layers.1", "layers.2"]


@pytest.mark.parametrize(("before", "mean"), [(1, False), (2, False), (1, True)])
def test_relevance_is_a_loop_over_the_layers(before: int, mean: bool) -> None:
    net, images, targets = Net(before=before, mean=mean), pictures(), torch.tensor([[0, 3], [4, 1]])
    found = token_relevance(net, images, targets)
    for b in range(IMAGES):
        for t in range(2):
            layers = weights_of(net, images, int(targets[b, t]))
            rows = loop_relevance([(weights[b], slopes[b]) for weights, slopes in layers])
            rows = rows if mean else rows[:before]  # the tokens that the head reads
            expected = torch.tensor(rows, dtype=torch.float64).mean(0)
            torch.testing.assert_close(found.relevances[b, t], expected)
    torch.testing.assert_close(found.scores, net(images).detach().gather(1, targets))


@pytest.mark.parametrize("arguments", [(Fused,), (Torch, True), (Torch, False), (Tapped,)])
def test_every_form_of_attention_is_seen_and_keeps_its_kernel(arguments: Any) -> None:
    net, images = Net(), pictures()
    other = like(net, *arguments)
    torch.testing.assert_close(net(images), other(images))
    for method in (token_rollout, token_relevance):
        torch.testing.assert_close(method(other, images, 2).relevances, method(net, images, 2).relevances)


@pytest.mark.parametrize("method", [attention_rollout, attention_relevance])
def test_images_get_maps_of_their_patches(method: Any) -> None:
    net, images = Net(), pictures()
    found = method(net, images, [1, 4])
    tokens = {attention_rollout: token_rollout, attention_relevance: token_relevance}[method](net, images, [1, 4])
    torch.testing.assert_close(found.maps, tokens.relevances[..., 1:].unflatten(-1, (2, 3)))
    assert found.layer == "layers.0 to layers.2"
    one = method(net, images[:1], 1)
    torch.testing.assert_close(one.maps[0], found.maps[0])


def test_a_row_can_be_named_where_no_gradient_says_it() -> None:
    class Frozen(Net):
        @torch.no_grad()
        def forward(self, images: Tensor) -> Tensor:
            return super().forward(images)

    net, images = Net(), pictures()
    frozen = Frozen()
    frozen.load_state_dict(net.state_dict())
    torch.testing.assert_close(token_rollout(frozen, images, token=0).relevances, token_rollout(net, images).relevances)
    with pytest.raises(InvalidInput, match=r"no gradient at any attention.* token=0"):
        token_rollout(frozen, images)
    with pytest.raises(InvalidInput, match="no gradient at any attention"):
        token_relevance(frozen, images, token=0)


def test_the_model_is_left_as_it_was_even_if_it_raises() -> None:
    net = Net().train()
    net.gate.weight.requires_grad_(False)
    net.layers[1].eval()

    def state() -> Any:
        return [module.training for module in net.modules()], [weight.requires_grad for weight in net.parameters()]

    before = state()
    for method in (attention_rollout, attention_relevance):
        method(net, pictures())
        assert state() == before
        assert all(weight.grad is None for weight in net.parameters())
        with pytest.raises(RuntimeError):
            method(net, torch.rand(1, 3, 8, 12))  # of another dtype
        assert state() == before


@pytest.mark.unhooked
def test_models_of_hugging_face_of_images_and_of_text() -> None:
    transformers = pytest.importorskip("transformers")
    small = {"hidden_size": 16, "num_attention_heads": 2, "num_hidden_layers": 2, "intermediate_size": 20}
    images = torch.rand(IMAGES, 3, 16, 16)
    for name, before in (("ViT", 1), ("DeiT", 2)):
        found = []
        for kernel in ("eager", "sdpa"):
            torch.manual_seed(0)
            config = getattr(transformers, f"{name}Config")(
                image_size=16, patch_size=4, num_labels=CLASSES, attn_implementation=kernel, **small
            )
            model = getattr(transformers, f"{name}ForImageClassification")(config).eval()
            found += [attention_rollout(model, images).maps, attention_relevance(model, images, 3).maps]
            if kernel == "eager":
                tokens = token_relevance(model, images, 3).relevances
                own = model(images, output_attentions=True)
                slopes = torch.autograd.grad(own.logits[:, 3].sum(), own.attentions)
                total = torch.eye(16 + before).expand(IMAGES, -1, -1)
                for weights, slope in zip(own.attentions, slopes, strict=True):
                    total = total + (weights * slope).relu().mean(1) @ total
                torch.testing.assert_close(tokens, (total - torch.eye(16 + before))[:, :1].detach())
        assert found[0].shape == (IMAGES, 1, 4, 4)
        torch.testing.assert_close(found[:2], found[2:])
    bert = transformers.BertForSequenceClassification(
        transformers.BertConfig(vocab_size=20, num_labels=3, **small)
    ).eval()  # fmt: skip
    words = {"input_ids": torch.randint(20, (2, 7)), "attention_mask": torch.tensor([[1] * 7, [1] * 4 + [0] * 3])}
    for method in (token_rollout, token_relevance):
        relevances = method(bert.requires_grad_(False), words, [0, 2]).relevances
        assert relevances.shape == (2, 1, 7)
        assert relevances[0].all()
        assert not relevances[1, 0, 4:].any()  # padding


@pytest.mark.unhooked
def test_attention_that_is_no_chain_is_one_sentence() -> None:
    transformers = pytest.importorskip("transformers")
    config = transformers.SwinConfig(
        image_size=32, patch_size=2, embed_dim=12, depths=[2, 1], num_heads=[2, 2], window_size=4, num_labels=CLASSES
    )
    swin = transformers.SwinForImageClassification(config)
    for method in (attention_rollout, attention_relevance):
        with pytest.raises(InvalidInput, match=r"layers.0.*attends within parts of its input.*grad_cam"):
            method(swin, torch.rand(1, 3, 32, 32))
    net, images = Net(), pictures()
    with pytest.raises(NotFound, match="no attention was found"):
        attention_rollout(nn.Sequential(nn.Flatten(), nn.Linear(288, 5)).double(), images)
    with pytest.raises(NotFound):
        attention_rollout(net, images, only="*nothing*")
    with pytest.raises(InvalidInput, match='heads must be "mean", "max" or "min", not \'sum\''):
        attention_rollout(net, images, heads="sum")  # type: ignore[arg-type]
    with pytest.raises(InvalidInput, match="from 0 to 6, not 9"):
        attention_rollout(net, images, token=9)
    with pytest.raises(InvalidInput, match="the classes are 0 to 4"):
        attention_relevance(net, images, 7)
    with pytest.raises(InvalidInput, match="expected images of floats"):
        attention_relevance(net, images[0])
    with pytest.raises(InvalidInput, match="the 3 tokens are no grid of patches over images of 8 x 8"):
        attention_rollout(Columns(), pictures(8, 8))

    class Across(Net):
        def forward(self, images: Tensor) -> Tensor:
            tokens = self.patches(images).flatten(2).mT
            query, keys = tokens[:, :2], tokens
            return self.head((query @ keys.mT).softmax(-1) @ keys).mean(1)

    with pytest.raises(InvalidInput, match="attends from 2 tokens to 6"):
        attention_rollout(Across(), images)


class Columns(Net):
    """Tokens that are columns, not patches."""

    def __init__(self) -> None:
        super().__init__()
        self.patches = nn.Conv2d(3, WIDTH, (8, 4), (8, 4)).double()
