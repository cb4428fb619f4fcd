"""The attention of a recurrent decoder as a configuration chooses it: one flag, and a record of options each."""

from typing import Annotated, Any, Literal

from pydantic import Field, model_validator
from torch import nn

from saccade.attention.additive import AdditiveAttention
from saccade.attention.cosine import CosineAttention
from saccade.attention.gaussian_window import GaussianWindowAttention
from saccade.attention.hard import HardAttention
from saccade.attention.local import LocalMonotonicAttention, LocalPredictiveAttention
from saccade.attention.location_aware import LocationAwareAttention
from saccade.attention.luong import BilinearAttention, ConcatAttention, DotAttention
from saccade.attention.past_alignment import PastAlignmentAttention
from saccade.attention.positional_keys import PositionalKeysAttention
from saccade.attention.scaled_dot import ScaledDotAttention
from saccade.attention.score_function import ScoreFunction
from saccade.core.config import Many, Parts, Size, config, refuse_unchosen

Count = Size
Positive = Annotated[float, Field(gt=0)]


@config
class Local:
    """Local attention (Luong et al. 2015, section 3.2)."""

    half_width: Count = 10
    """Keys that may be attended on either side of the centre, D."""
    sigma: Positive | None = None
    """Predictive only: width of the Gaussian in keys; none: half the half width."""


@config
class LocationAware:
    """Location-aware attention (Chorowski et al. 2015)."""

    filters: Count = 10
    """Filters over the last weights."""
    filter_width: Count = 31
    """Keys that a filter covers, odd."""
    smoothing: bool = False
    """Normalise sigmoids in place of exponentials."""
    sharpening: Positive = 1.0
    """In evaluation the scores are multiplied by this."""
    window: Many | None = None
    """In evaluation, keys on either side of the median of the last weights that may be attended; none: all."""
    content: bool = True
    """Score keys by what they are too, or by where they are alone."""

    @model_validator(mode="after")
    def check_width(self) -> "LocationAware":
        if self.filter_width % 2 == 0:
            raise ValueError(
                f"filter-width must be odd, not {self.filter_width}; the nearest is {self.filter_width + 1}"
            )
        return self


@config
class GaussianWindow:
    """Gaussian window attention (Graves 2013)."""

    components: Parts = 10
    """Gaussians, K."""
    offsets: Literal["exp", "softplus"] = "exp"
    """What makes the moves positive."""
    pace: Positive = 1.0
    """Keys by which a new model moves a look."""


@config
class PastAlignment:
    """Attention with a memory of its past alignments (Tu et al. 2016)."""

    memory_size: Count = 10
    """Features of a key's memory."""


@config
class PositionalKeys:
    """Additive attention whose keys have learned positions."""

    longest: Count = 512
    """Positions that there are."""


@config
class Hard:
    """Hard attention (Xu et al. 2015)."""

    estimator: Literal["score-function", "straight-through", "gumbel"] = "score-function"
    """Where a choice gets its gradient from."""
    temperature: Positive = 1.0
    """Gumbel only: of the softmax whose gradient is taken."""
    baseline: Literal["none", "moving", "learned"] = "learned"
    """Score function only: what is taken off the reward; the mean of past ones, or that and what the state says."""
    reward_weight: Positive = 0.2
    """Score function only: lambda_r; at 1 the estimate has no bias, and so much noise that training settles early."""
    entropy_weight: Annotated[float, Field(ge=0)] = 0.1
    """Score function only: lambda_e, against choices that are made too early."""

    @model_validator(mode="after")
    def check_estimator(self) -> "Hard":
        refuse_unchosen(self, "estimator", {"gumbel": "temperature"})
        for name in ("baseline", "reward_weight", "entropy_weight"):
            refuse_unchosen(self, "estimator", {"score-function": name})
        return self


@config
class AttentionChoice:
    """Which attention a decoder reads with."""

    attention: Literal[
        "additive", "dot", "bilinear", "concat", "mlp", "scaled-dot", "cosine", "local-monotonic", "local-predictive",
        "location-aware", "gaussian-window", "hard", "past-alignment", "positional-keys",
    ] = "additive"  # fmt: skip
    """How the decoder chooses where to look; mlp is another name of concat."""
    attention_size: Count = 256
    """Width of the hidden layer that scores, or of the projected queries and keys, where there is one, n'."""
    local: Local = Local()
    location_aware: LocationAware = LocationAware()
    gaussian_window: GaussianWindow = GaussianWindow()
    hard: Hard = Hard()
    past_alignment: PastAlignment = PastAlignment()
    positional_keys: PositionalKeys = PositionalKeys()

    @model_validator(mode="after")
    def check_choice(self) -> Any:
        refuse_unchosen(
            self,
            "attention",
            {
                "local-monotonic": "local", "local-predictive": "local", "location-aware": "location_aware",
                "gaussian-window": "gaussian_window", "hard": "hard", "past-alignment": "past_alignment",
                "positional-keys": "positional_keys",
            },
        )  # fmt: skip
        if self.local.sigma is not None and self.attention == "local-monotonic":
            raise ValueError("local sigma is set, but attention is 'local-monotonic'; it belongs to 'local-predictive'")
        return self


def build_attention(choice: AttentionChoice, query_size: int, key_size: int) -> nn.Module:
    """The mechanism that was chosen.

    Args:
        query_size: features of the decoder's state.
        key_size: features of an annotation; those of a query, where the attention is a dot product.
    """
    width, local = choice.attention_size, choice.local
    match choice.attention:
        case "additive":
            return AdditiveAttention(query_size, key_size, width)
        case "dot":
            assert query_size == key_size, "a dot product has factors of one size"
            return DotAttention(query_size)
        case "bilinear":
            return BilinearAttention(query_size, key_size)
        case "concat" | "mlp":
            return ConcatAttention(query_size, key_size, width)
        case "scaled-dot":
            return ScaledDotAttention(query_size, key_size, width)
        case "cosine":
            return CosineAttention(query_size, key_size)
        case "local-monotonic":
            return LocalMonotonicAttention(query_size, key_size, local.half_width)
        case "local-predictive":
            return LocalPredictiveAttention(query_size, key_size, local.half_width, local.sigma)
        case "location-aware":
            aware = choice.location_aware
            return LocationAwareAttention(
                query_size, key_size, width, aware.filters, aware.filter_width, aware.smoothing, aware.sharpening,
                aware.window, aware.content,
            )  # fmt: skip
        case "gaussian-window":
            window = choice.gaussian_window
            return GaussianWindowAttention(query_size, key_size, window.components, window.offsets, window.pace)
        case "hard":
            return HardAttention(query_size, key_size, width, choice.hard.estimator, choice.hard.temperature)
        case "past-alignment":
            return PastAlignmentAttention(query_size, key_size, width, choice.past_alignment.memory_size)
        case "positional-keys":
            return PositionalKeysAttention(query_size, key_size, width, choice.positional_keys.longest)


def build_score_function(choice: AttentionChoice, query_size: int) -> ScoreFunction | None:
    """What gives choices their gradient, where they have none of their own.

    Args:
        query_size: features of the decoder's state, from which a baseline is learned.
    """
    hard = choice.hard
    if choice.attention != "hard" or hard.estimator != "score-function":
        return None
    features = query_size if hard.baseline == "learned" else None
    return ScoreFunction(hard.baseline, features, reward_weight=hard.reward_weight, entropy_weight=hard.entropy_weight)
