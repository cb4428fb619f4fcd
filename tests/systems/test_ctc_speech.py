"""The objective of CTC on speech: nats per label, over recordings that are long enough."""

import itertools

import torch
from torch import Tensor
from torch.nn import functional as F

from saccade.core.masks import length_mask
from saccade.systems.ctc_speech.model import CTCSpeech, CTCSpeechConfig
from saccade.systems.ctc_speech.objective import objective
from saccade.tasks.speech import BLANK, START, Batch
from tests.checks import randomised

FEATURES, SYMBOLS = 3, 5
LABELS = torch.tensor([[3, 4, 0], [3, 3, 4], [4, 0, 0]])


def likelihood(log_probs: Tensor, labels: list[int]) -> Tensor:
    """The sum over all paths that collapse to the labels."""
    total = torch.zeros((), dtype=log_probs.dtype)
    for path in itertools.product(range(SYMBOLS), repeat=len(log_probs)):
        read = [label for label, _ in itertools.groupby(path) if label != BLANK]
        if read == labels:
            total = total + log_probs[range(len(path)), path].sum().exp()
    return total


def test_a_recording_too_short_for_its_labels_is_dropped_and_counted() -> None:
    model = randomised(CTCSpeech(CTCSpeechConfig(layers=1, hidden_size=4, dropout=0.0), FEATURES, SYMBOLS)).eval()
    lengths = torch.tensor([4, 3, 4])  # 3 3 4 needs a blank between the equal labels, so four steps
    features = torch.randn(3, 4, FEATURES, dtype=torch.float64)
    inputs = F.pad(LABELS, (1, 0), value=START)
    batch = Batch(features, length_mask(lengths, 4), inputs, torch.zeros_like(inputs))
    found = objective(model, batch, 0)
    log_probs: Tensor = model(batch.features, batch.mask)
    nats = -likelihood(log_probs[0], [3, 4]).log() - likelihood(log_probs[2], [4]).log()
    torch.testing.assert_close(found.value, nats / 3)  # of three labels
    weights = list(model.parameters())
    for ours, theirs in zip(*(torch.autograd.grad(x, weights) for x in (found.value, nats / 3)), strict=True):
        torch.testing.assert_close(ours, theirs)
    assert found.parts["nats"].count == 3
    torch.testing.assert_close(found.logs["too_short"], torch.tensor(1 / 3))
