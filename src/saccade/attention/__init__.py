"""Where to look: one mechanism per file, all with `prepare`, `initial_state` and `read`."""

from saccade.attention.additive import AdditiveAttention
from saccade.attention.cosine import CosineAttention
from saccade.attention.dot_product import scaled_dot_product
from saccade.attention.gaussian_window import GaussianWindowAttention
from saccade.attention.hard import HardAttention
from saccade.attention.local import LocalMonotonicAttention, LocalPredictiveAttention
from saccade.attention.location_aware import LocationAwareAttention
from saccade.attention.luong import BilinearAttention, ConcatAttention, DotAttention
from saccade.attention.multi_head import MultiHeadAttention
from saccade.attention.online import OnlineAttention
from saccade.attention.past_alignment import PastAlignmentAttention
from saccade.attention.positional_keys import PositionalKeysAttention
from saccade.attention.positions import LearnedPositions, SinusoidalPositions
from saccade.attention.reading import Attention, Reading
from saccade.attention.relative import RelativeAttention
from saccade.attention.scaled_dot import ScaledDotAttention
from saccade.attention.score_function import ScoreFunction
from saccade.attention.self_attention import SelfAttention

__all__ = [
    "AdditiveAttention",
    "Attention",
    "BilinearAttention",
    "ConcatAttention",
    "CosineAttention",
    "DotAttention",
    "GaussianWindowAttention",
    "HardAttention",
    "LearnedPositions",
    "LocalMonotonicAttention",
    "LocalPredictiveAttention",
    "LocationAwareAttention",
    "MultiHeadAttention",
    "OnlineAttention",
    "PastAlignmentAttention",
    "PositionalKeysAttention",
    "Reading",
    "RelativeAttention",
    "ScaledDotAttention",
    "ScoreFunction",
    "SelfAttention",
    "SinusoidalPositions",
    "scaled_dot_product",
]
