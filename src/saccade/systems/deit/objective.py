"""The loss of DeiT: labels for the class token, the teacher's answer for the distillation token. Touvron et al. 2021,
arXiv:2012.12877, equations 2 and 3.

    none    CE(softmax Z_c, y)
    hard    1/2 CE(softmax Z_c, y) + 1/2 CE(softmax Z_s, argmax Z_t)
    soft    (1 - lambda) CE(softmax Z_c, y) + lambda tau^2 KL(softmax(Z_t / tau) || softmax(Z_s / tau))

Z_c, Z_s are the logits of the class and of the distillation token, Z_t those of the teacher, y the label, which may be
smoothed or mixed.
"""

from typing import Any

from torch.nn import functional as F

from saccade.core.recipe import Loss, Part
from saccade.systems.deit.model import Hard, Student
from saccade.tasks.images import Batch
from saccade.tasks.images.objective import cross_entropy


def objective(model: Any, batch: Batch, step: int) -> Loss:
    """The mean loss of an image, in nats; with a teacher in two parts, that of the labels and that of the teacher."""
    if not isinstance(model, Student):
        return cross_entropy(model, batch, step)
    (of_class, of_distillation), taught = model.logits(batch.images), model.taught(batch.images).float()
    assert of_distillation is not None
    labels, count = F.cross_entropy(of_class.float(), batch.targets), len(batch.labels)
    if isinstance(model.distillation, Hard):
        hard = F.cross_entropy(of_distillation.float(), taught.argmax(1))
        return Loss({"labels": Part(labels, count, 0.5), "teacher": Part(hard, count, 0.5)})
    share, temperature = model.distillation.share, model.distillation.temperature
    said, wanted = ((one.float() / temperature).log_softmax(1) for one in (of_distillation, taught))
    soft = temperature**2 * F.kl_div(said, wanted, reduction="batchmean", log_target=True)
    return Loss({"labels": Part(labels, count, 1 - share), "teacher": Part(soft, count, share)})
