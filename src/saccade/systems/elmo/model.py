"""ELMo's sizes. Peters et al. 2018, arXiv:1802.05365, section 3; the network is that of
`nets.bidirectional_language_model`."""

from typing import Annotated

from pydantic import Field

from saccade.core.config import Parts, Size, config
from saccade.nets.bidirectional_language_model import BidirectionalLanguageModel
from saccade.nets.character_convolution import CharacterConvolution


@config
class ElmoConfig:
    """Sizes of the net."""

    character_size: Size = 16
    """Features of a character."""
    filters: Annotated[tuple[Size, ...], Field(min_length=1, max_length=20)] = (32, 32, 64, 128)
    """Filters over the characters: how many are 1 character wide, how many 2, and so on."""
    highways: Annotated[int, Field(ge=0, le=20)] = 1
    """Highway layers between the filters and the word's vector."""
    size: Size = 128
    """Features of a word's vector, and of the state of each layer and direction."""
    hidden_size: Size = 256
    """Cells of each layer and direction; states are their projections."""
    layers: Parts = 2
    """Layers of each direction."""
    dropout: Annotated[float, Field(ge=0, lt=1)] = 0.3
    """Dropout rate of the input of each layer and of the last states."""


def network(config: ElmoConfig, words: int, longest: int) -> BidirectionalLanguageModel:
    """The network that predicts `words` different words and reads the first `longest` symbols of each."""
    token = CharacterConvolution(
        config.size,
        character_size=config.character_size,
        filters=tuple(enumerate(config.filters, start=1)),
        highways=config.highways,
    )
    return BidirectionalLanguageModel(
        token, words, config.hidden_size, layers=config.layers, dropout=config.dropout, longest=longest
    )
