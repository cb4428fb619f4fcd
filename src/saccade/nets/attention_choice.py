"""The attention of a recurrent decoder as a configuration chooses it: a record for each mechanism, with its options."""

from typing import Annotated, Literal

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
from saccade.core.config import NAMED, Many, Parts, Size, config
from saccade.core.errors import InvalidInput

Positive = Annotated[float, Field(gt=0)]


@config
class Hidden:
    """Options of a mechanism that scores in a hidden layer."""

    name: str = ""
    attention_size: Size = 256
    """Width of the hidden layer that computes the scores, or of the projected queries and keys, n'."""


@config
class Additive(Hidden):
    """Additive attention (Bahdanau et al. 2015)."""

    name: Literal["additive"] = "additive"


@config
class Dot:
    """Dot product of state and annotation (Luong et al. 2015, "dot")."""

    name: Literal["dot"] = "dot"


@config
class Bilinear:
    """Dot product with a matrix between the two (Luong et al. 2015, "general")."""

    name: Literal["bilinear"] = "bilinear"


@config
class Concat(Hidden):
    """A hidden layer over state and annotation (Luong et al. 2015, "concat"), also called mlp."""

    name: Literal["concat", "mlp"] = "concat"


@config
class ScaledDot(Hidden):
    """Scaled dot product of projected queries and keys (Vaswani et al. 2017)."""

    name: Literal["scaled-dot"] = "scaled-dot"


@config
class Cosine:
    """Cosine with a learned sharpness (Graves et al. 2014)."""

    name: Literal["cosine"] = "cosine"


@config
class LocalMonotonic:
    """Local attention whose window moves on by one key per step (Luong et al. 2015, section 3.2)."""

    name: Literal["local-monotonic"] = "local-monotonic"
    half_width: Size = 10
    """Keys on either side of the centre that may be attended, D."""


@config
class LocalPredictive:
    """Local attention that predicts the centre of its window (Luong et al. 2015, section 3.2)."""

    name: Literal["local-predictive"] = "local-predictive"
    half_width: Size = 10
    """Keys on either side of the centre that may be attended, D."""
    sigma: Positive | None = None
    """Standard deviation of the Gaussian, in keys; none: half of half_width."""


@config
class LocationAware(Hidden):
    """Location-aware attention (Chorowski et al. 2015)."""

    name: Literal["location-aware"] = "location-aware"
    filters: Size = 10
    """Filters over the previous weights."""
    filter_width: Size = 31
    """Keys that a filter covers, odd."""
    smoothing: bool = False
    """Normalise sigmoids instead of exponentials."""
    sharpening: Positive = 1.0
    """Factor on the scores in evaluation."""
    window: Many | None = None
    """Keys on either side of the median of the previous weights that may be attended in evaluation; none: all keys."""
    content: bool = True
    """Score keys by their content as well as by the previous weights."""

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

    name: Literal["gaussian-window"] = "gaussian-window"
    components: Parts = 10
    """Gaussians, K."""
    offsets: Literal["exp", "softplus"] = "exp"
    """The function that makes the window's steps positive."""
    pace: Positive = 1.0
    """Keys by which the window of a new model moves per step."""


@config
class ScoreFunctionGradient:
    """The score-function estimator, with a baseline that reduces its variance (Williams 1992; Xu et al. 2015)."""

    name: Literal["score-function"] = "score-function"
    baseline: Literal["none", "moving", "learned"] = "learned"
    """The baseline subtracted from the reward: none, the moving mean of past rewards, or that plus a learned linear
    function of the decoder's state."""
    reward_weight: Positive = 0.2
    """Weight of the reward, lambda_r. At 1 the estimate is unbiased, but so noisy that training stops improving
    early."""
    entropy_weight: Annotated[float, Field(ge=0)] = 0.1
    """Weight of the entropy, lambda_e, which keeps the model from choosing too early."""
    reward: Literal["following", "whole"] = "following"
    """What a choice is rewarded with: the log-probability of the symbols that follow it, or of the whole answer (Xu et
    al. 2015)."""


@config
class StraightThrough:
    """The straight-through estimator: the gradient of the soft weights (Bengio et al. 2013)."""

    name: Literal["straight-through"] = "straight-through"


@config
class Gumbel:
    """The straight-through Gumbel-softmax estimator (Jang et al. 2017; Maddison et al. 2017)."""

    name: Literal["gumbel"] = "gumbel"
    temperature: Positive = 1.0
    """Temperature of the softmax that the gradient comes from."""


@config
class Hard(Hidden):
    """Hard attention (Xu et al. 2015)."""

    name: Literal["hard"] = "hard"
    estimator: Annotated[ScoreFunctionGradient | StraightThrough | Gumbel, Field(discriminator="name"), NAMED] = (
        ScoreFunctionGradient()
    )
    """How the gradient of a choice is estimated."""
    soft: Annotated[float, Field(ge=0, le=1)] = 0.0
    """Probability that an answer in training reads expected contexts instead of choosing; 0.5 in Xu et al. 2015."""


@config
class PastAlignment(Hidden):
    """Additive attention that remembers how each key was attended (Tu et al. 2016)."""

    name: Literal["past-alignment"] = "past-alignment"
    memory_size: Size = 10
    """Features of a key's memory."""


@config
class PositionalKeys(Hidden):
    """Additive attention whose keys have learned positions."""

    name: Literal["positional-keys"] = "positional-keys"
    longest: Size = 512
    """Number of learned positions: the longest source."""


Attention = Annotated[
    Additive | Dot | Bilinear | Concat | ScaledDot | Cosine | LocalMonotonic | LocalPredictive | LocationAware
    | GaussianWindow | Hard | PastAlignment | PositionalKeys,
    Field(discriminator="name"),
    NAMED,
]  # fmt: skip


def build_attention(choice: Attention, query_size: int, key_size: int) -> nn.Module:
    """The selected mechanism.

    Args:
        choice: its name and options.
        query_size: features of the decoder's state.
        key_size: features of an annotation; equal to `query_size` for dot.
    """
    sizes = query_size, key_size
    match choice:
        case Additive():
            return AdditiveAttention(*sizes, choice.attention_size)
        case Dot():
            if query_size != key_size:
                raise InvalidInput(
                    f"attention by dot product needs queries and keys of one size, not {query_size} and {key_size}: "
                    "choose another --model.attention, or sizes that agree"
                )
            return DotAttention(query_size)
        case Bilinear():
            return BilinearAttention(*sizes)
        case Concat():
            return ConcatAttention(*sizes, choice.attention_size)
        case ScaledDot():
            return ScaledDotAttention(*sizes, choice.attention_size)
        case Cosine():
            return CosineAttention(*sizes)
        case LocalMonotonic():
            return LocalMonotonicAttention(*sizes, half_width=choice.half_width)
        case LocalPredictive():
            return LocalPredictiveAttention(*sizes, half_width=choice.half_width, sigma=choice.sigma)
        case LocationAware():
            return LocationAwareAttention(
                *sizes, choice.attention_size, filters=choice.filters, filter_width=choice.filter_width,
                smoothing=choice.smoothing, sharpening=choice.sharpening, window=choice.window, content=choice.content,
            )  # fmt: skip
        case GaussianWindow():
            return GaussianWindowAttention(
                *sizes, components=choice.components, offsets=choice.offsets, pace=choice.pace
            )
        case Hard(estimator=Gumbel(temperature=temperature)):
            return HardAttention(
                *sizes, choice.attention_size, estimator="gumbel", temperature=temperature, soft=choice.soft
            )
        case Hard():
            return HardAttention(*sizes, choice.attention_size, estimator=choice.estimator.name, soft=choice.soft)
        case PastAlignment():
            return PastAlignmentAttention(*sizes, choice.attention_size, memory_size=choice.memory_size)
        case PositionalKeys():
            return PositionalKeysAttention(*sizes, choice.attention_size, longest=choice.longest)


def build_score_function(choice: Attention, query_size: int) -> ScoreFunction | None:
    """The estimator of the gradient of sampled choices; None for a mechanism that needs none.

    Args:
        choice: the mechanism and its options.
        query_size: features of the decoder's state, which a learned baseline reads.
    """
    if not isinstance(choice, Hard) or not isinstance(choice.estimator, ScoreFunctionGradient):
        return None
    options = choice.estimator
    return ScoreFunction(
        options.baseline,
        features=query_size if options.baseline == "learned" else None,
        reward_weight=options.reward_weight,
        entropy_weight=options.entropy_weight,
        reward=options.reward,
    )
