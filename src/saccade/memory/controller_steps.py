"""The steps of a controller with a backward pass by hand, for memories that run a whole sequence as one function.

    [i f c o] = W x + V [r, h];  c' = sigmoid(f) c + sigmoid(i) tanh(c~);  h' = sigmoid(o) tanh(c')      lstm
    h' = tanh(W x + V r)                                                                               feed-forward

All results of a kind are one tensor, time first, so what does not depend on the step before is computed for all steps
at once: the derivatives before the backward pass, and the gradients of the weights, one product, after it.
"""

import torch
from jaxtyping import Float
from torch import Tensor


class ControllerSteps:
    """The steps of an LSTM (if there is a cell) or of a feed-forward controller.

    Args:
        projected: W x + b of all steps.
        reads: what was read before the first step.
        hidden, cell: the state of an LSTM before the first step; None: feed-forward.
        weight: V, transposed.
        size: the hidden features.
    """

    def __init__(
        self,
        projected: Float[Tensor, "b t gates"],
        reads: Float[Tensor, "b r"],
        hidden: Float[Tensor, "b h"] | None,
        cell: Float[Tensor, "b h"] | None,
        weight: Float[Tensor, "rh gates"],
        size: int,
    ) -> None:
        batch, steps, gates = projected.shape
        width, new = reads.shape[1], projected.new_empty
        self.weight, self.size, self.width, self.lstm = weight, size, width, cell is not None
        self.projected = projected.unbind(1)
        # [r, h] before each step, and after the last
        self.features = new(steps + 1, batch, width + size)
        self.features[0, :, :width] = reads
        self.features[0, :, width:] = 0 if hidden is None else hidden
        self.hidden = self.features[..., width:].unbind(0)
        self.seen = self.features[..., : len(weight)].unbind(0)
        self.gates = new(steps, batch, gates)
        self.sums = self.gates.unbind(0)
        if cell is not None:
            self.cells, self.squashed = new(steps + 1, batch, size), new(steps, batch, size)
            self.cells[0] = cell
            self.candidates = new(steps, batch, size)
            self.candidate_sum, self.candidate = self.gates[..., 2 * size : -size].unbind(0), self.candidates.unbind(0)
            self.write, self.keep, _, self.show = (part.unbind(0) for part in self.gates.chunk(4, -1))
            self.cell, self.squash = self.cells.unbind(0), self.squashed.unbind(0)

    def forward(self, now: int) -> Float[Tensor, "b h"]:
        """One step: the hidden features, from what is in `features` before it."""
        sums, hidden = self.sums[now], self.hidden[now + 1]
        torch.addmm(self.projected[now], self.seen[now], self.weight, out=sums)
        if not self.lstm:
            return torch.tanh(sums, out=hidden)
        candidate = torch.tanh(self.candidate_sum[now], out=self.candidate[now])
        sums.sigmoid_()  # of the candidate too, which is not used: one operation instead of two
        cell = torch.mul(self.keep[now], self.cell[now], out=self.cell[now + 1])
        cell.addcmul_(self.write[now], candidate)
        return torch.mul(self.show[now], torch.tanh(cell, out=self.squash[now]), out=hidden)

    def derive(self) -> None:
        """The derivatives of all steps, before the backward pass."""
        self.of_sums = torch.empty_like(self.gates)
        self.of_sum, self.turned = self.of_sums.unbind(0), self.weight.mT
        self.of_before = torch.zeros_like(self.features[0])
        self.of_reads, self.of_hidden = self.of_before.split([self.width, self.size], 1)
        self.of_seen = self.of_before[:, : len(self.weight)]
        if not self.lstm:
            self.slope = (1 - self.features[1:, :, self.width :].square()).unbind(0)
            return
        candidate = self.candidates
        write, keep, _, show = self.gates.chunk(4, -1)
        into_cell = torch.cat(
            [
                candidate * write * (1 - write),
                self.cells[:-1] * keep * (1 - keep),
                write * (1 - candidate.square()),
            ],
            -1,
        )
        self.into_cell = into_cell.unflatten(-1, (3, self.size)).unbind(0)
        self.into_show = (self.squashed * show * (1 - show)).unbind(0)
        self.through = (show * (1 - self.squashed.square())).unbind(0)
        self.of_three = self.of_sums[..., : 3 * self.size].unflatten(-1, (3, self.size)).unbind(0)
        self.of_show = self.of_sums[..., 3 * self.size :].unbind(0)

    def backward(self, now: int, of_hidden: Tensor, of_cell: Tensor | None) -> Tensor | None:
        """The slope of the cell before the step; `of_before` becomes that of [r, h] before it."""
        if of_cell is None:
            torch.mul(of_hidden, self.slope[now], out=self.of_sum[now])
        else:
            of_cell = torch.addcmul(of_cell, of_hidden, self.through[now])
            torch.mul(of_cell[:, None], self.into_cell[now], out=self.of_three[now])
            torch.mul(of_hidden, self.into_show[now], out=self.of_show[now])
            of_cell.mul_(self.keep[now])
        torch.mm(self.of_sum[now], self.turned, out=self.of_seen)
        if not self.lstm:
            self.of_hidden.zero_()
        return of_cell

    def of_weight(self) -> Float[Tensor, "rh gates"]:
        """The gradient of V, transposed, after all steps."""
        seen = self.features[:-1, :, : len(self.weight)]
        return seen.flatten(0, 1).mT @ self.of_sums.flatten(0, 1)
