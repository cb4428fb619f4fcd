"""BERT as a classifier of sentences. Devlin et al. 2019, arXiv:1810.04805, section 4.1.

h = encoder([CLS] x [SEP]),   v = tanh(U h_1 + u)       h_1 that of [CLS]; or v = mean_t h_t
p(class | x) = softmax(W v + b)
"""

from typing import Literal

from jaxtyping import Bool, Float, Int
from torch import Tensor, nn

from saccade.core.config import config
from saccade.nets.dropout import Dropout
from saccade.nets.masked_language_model import BidirectionalEncoder, MaskedLanguageModelConfig, initial


@config
class ClassifierConfig(MaskedLanguageModelConfig):
    """Sizes of the net, and what is trained."""

    pooling: Literal["first", "mean"] = "first"
    """What stands for the sentence: the first symbol, through a layer with tanh (BERT), or the mean of all symbols, as
    in networks that were trained to compare sentences."""
    trained: Literal["all", "output"] = "all"
    """all: the whole net is trained; output: only the layers above the encoder."""


class BertClassifier(nn.Module):
    """An encoder and, for each class, a linear function of what stands for the sentence.

    Args:
        config: sizes.
        symbols: number of symbols.
        classes: number of classes.
    """

    def __init__(self, config: ClassifierConfig, symbols: int, classes: int) -> None:
        super().__init__()
        size = config.model_size
        self.encoder = BidirectionalEncoder(config, symbols)
        self.pooler = nn.Linear(size, size) if config.pooling == "first" else None
        self.output, self.dropout = nn.Linear(size, classes), Dropout(config.dropout)
        for linear in (self.pooler, self.output):
            if linear is not None:
                nn.init.normal_(linear.weight, std=initial(size))
                nn.init.zeros_(linear.bias)
        self.fixed = config.trained == "output"
        self.encoder.requires_grad_(not self.fixed).train(not self.fixed)

    def train(self, mode: bool = True) -> "BertClassifier":
        """An encoder that is not trained has no dropout either."""
        super().train(mode)
        if self.fixed:
            self.encoder.eval()
        return self

    def forward(self, symbols: Int[Tensor, "b t"], mask: Bool[Tensor, "b t"]) -> Float[Tensor, "b c"]:
        """The logits of the classes.

        Args:
            mask: False at padding.

        Raises:
            InvalidInput: more symbols than there are positions.
        """
        features = self.encoder(symbols, mask)
        if self.pooler is not None:
            sentence = self.pooler(features[:, 0]).tanh()
        else:
            sentence = features.masked_fill(~mask[..., None], 0.0).sum(1) / mask.sum(1, keepdim=True)
        return self.output(self.dropout(sentence))  # type: ignore[no-any-return]
