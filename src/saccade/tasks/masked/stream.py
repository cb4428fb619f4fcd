"""The training examples in batches; masks are drawn anew in each pass, unless they are static. Short examples may come
first: in the paper nine tenths of the updates read 128 symbols, the others 512 (Devlin et al. 2019, appendix A.2)."""

from typing import Any

from saccade.core.stream import ExampleStream, Share


class MaskedStream(ExampleStream):
    """As `ExampleStream`, with the masks of an example a function of the seed, the example and, if they are drawn anew,
    the pass; however the batch is shared among processes. Arguments as for `ExampleStream`."""

    task: Any

    def share(self, batch: int, rank: int = 0, processes: int = 1) -> Share:
        rows = self.rows(batch)
        own, passes = rows[rank::processes], self._epoch[0]
        found = [self.task.in_pass(self.examples[row], passes) for row in own or rows[:1]]
        return Share(self.task.collate(found), bool(own))


class LengthenedStream:
    """Batches of short examples, then of whole ones.

    Args:
        short: the first batches.
        whole: the other ones.
        until: the number of short batches.
    """

    def __init__(self, short: MaskedStream, whole: MaskedStream, until: int) -> None:
        self.short, self.whole, self.until = short, whole, until

    def share(self, batch: int, rank: int = 0, processes: int = 1) -> Share:
        if batch < self.until:
            return self.short.share(batch, rank, processes)
        return self.whole.share(batch - self.until, rank, processes)
