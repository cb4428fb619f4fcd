"""A tagger: words and their characters, a bidirectional LSTM, a chain over the tags. Lample et al. 2016,
arXiv:1603.01360, sections 2 and 4. With vectors of words in context: Peters et al. 2018, arXiv:1802.05365, section 3.3.

    x_t = [word; forward LSTM over its characters; backward LSTM over them; ELMo_t, if there is one]
    h_t = [forward LSTM; backward LSTM],   e_t = W h_t + b
    log p(y | x) of a linear chain over the emissions e, or of each tag alone
"""

from collections.abc import Sequence
from typing import Annotated

import torch
from jaxtyping import Float, Int
from pydantic import Field
from torch import Tensor, nn
from torch.nn import functional as F

from saccade.core.config import Size, config
from saccade.core.device import to_device
from saccade.core.errors import InvalidInput
from saccade.core.pretrained import Pretrained
from saccade.nets.bidirectional_language_model import BidirectionalLanguageModel, ScalarMix
from saccade.nets.character_convolution import spelled
from saccade.nets.dropout import Dropout
from saccade.nets.linear_chain import LinearChain
from saccade.nets.recurrent_stack import RecurrentStack
from saccade.tasks.entities import Batch


@config
class TaggerConfig:
    """Sizes of the net."""

    chain: bool = True
    """Whether a conditional random field joins the tags; without it each is chosen alone."""
    characters: bool = True
    """Whether the characters of a word are read."""
    word_size: Size = 64
    """Features of a word."""
    character_size: Size = 24
    """Features of a character."""
    character_units: Size = 24
    """Units of each direction over the characters."""
    hidden_size: Size = 64
    """Units of each direction over the words."""
    dropout: Annotated[float, Field(ge=0, lt=1)] = 0.5
    """Dropout rate of what the words are made of, and of the states."""
    contextual: Pretrained | None = None
    """A run of a bidirectional language model, such as elmo, whose vectors of the words in context are read too. It is
    frozen; the mix of its layers is learned. None: no such vectors."""


class Contextual(nn.Module):
    """The vectors of words in context: a learned mix of the layers of a language model, which is frozen and stays in
    evaluation mode.

    Args:
        language: the language model.
    """

    def __init__(self, language: BidirectionalLanguageModel) -> None:
        super().__init__()
        self.language = language.requires_grad_(False).eval()
        self.mix = ScalarMix(1 + len(language.layers))
        self.output_size = language.size

    def train(self, mode: bool = True) -> "Contextual":
        super().train(mode)
        self.language.eval()
        return self

    def forward(self, sentences: Sequence[Sequence[str]]) -> Float[Tensor, "b t d"]:
        """The vector of each word; sentences that are shorter than the longest are padded."""
        with torch.no_grad():
            words = to_device(spelled(sentences, self.language.longest), self.mix.scale.device)
            layers = self.language(words)[:, 1:-1]  # without the marks; one is left after a shorter sentence
        mixed: Tensor = self.mix(layers)
        return mixed


def language_of(given: Pretrained | None) -> BidirectionalLanguageModel | None:
    """The language model of a run.

    Raises:
        InvalidInput: a network of another kind.
    """
    if given is None:
        return None
    network = None if given.weights is not None else given.network
    if not isinstance(network, BidirectionalLanguageModel):
        raise InvalidInput(
            f"--model.contextual: {given.path} is no run of a bidirectional language model; make one with saccade "
            "train elmo"
        )
    return network


class Tagger(nn.Module):
    """Tags of the words of sentences.

    Args:
        config: sizes.
        words, characters, tags: numbers of symbols.
    """

    def __init__(self, config: TaggerConfig, words: int, characters: int, tags: int) -> None:
        super().__init__()
        self.words = nn.Embedding(words, config.word_size, padding_idx=0)
        self.letters: nn.Embedding | None = None
        size = config.word_size
        if config.characters:
            self.letters = nn.Embedding(characters, config.character_size, padding_idx=0)
            self.spelling = RecurrentStack(config.character_size, config.character_units, directions="both")
            size += self.spelling.output_size
        language = language_of(config.contextual)
        self.contextual = None if language is None else Contextual(language)
        size += 0 if self.contextual is None else self.contextual.output_size
        self.dropout = Dropout(config.dropout)
        self.recurrent = RecurrentStack(size, config.hidden_size, directions="both")
        self.output = nn.Linear(self.recurrent.output_size, tags)
        self.chain = LinearChain(tags) if config.chain else None

    def emissions(self, batch: Batch) -> Float[Tensor, "b t k"]:
        """The scores of each tag of each word, alone."""
        inputs = self.words(batch.symbols)
        if self.letters is not None:
            inputs = torch.cat([inputs, self.spelled(batch.letters)], -1)
        if self.contextual is not None:
            inputs = torch.cat([inputs, self.contextual(batch.words)], -1)
        outputs, _ = self.recurrent(self.dropout(inputs), batch.mask)
        scores: Tensor = self.output(self.dropout(outputs))
        return scores

    def spelled(self, letters: Int[Tensor, "b t c"]) -> Float[Tensor, "b t g"]:
        """The states after the last and before the first character of each word; zeros at padding."""
        assert self.letters is not None
        rows = letters.flatten(0, 1)
        _, state = self.spelling(self.letters(rows), rows > 0)
        found: Tensor = self.spelling.final(state).unflatten(0, letters.shape[:2])
        return found

    def log_likelihood(self, batch: Batch) -> Float[Tensor, " b"]:
        """log p(y | x) of each sentence, in nats."""
        scores = self.emissions(batch)
        if self.chain is not None:
            return self.chain(scores, batch.tags, batch.mask)  # type: ignore[no-any-return]
        each = F.cross_entropy(scores.mT, batch.tags.clamp(min=0), reduction="none")
        return -each.masked_fill(~batch.mask, 0.0).sum(1)

    def tags(self, batch: Batch) -> Int[Tensor, "b t"]:
        """The best tags."""
        scores = self.emissions(batch)
        return scores.argmax(-1) if self.chain is None else self.chain.viterbi(scores, batch.mask)

    def marginals(self, batch: Batch) -> Float[Tensor, "b t k"]:
        """The probability of each tag of each word."""
        scores = self.emissions(batch)
        return scores.softmax(-1) if self.chain is None else self.chain.marginals(scores, batch.mask)
