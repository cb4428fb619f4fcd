"""Maps are made once an image, and what is in memory is bounded."""

from pathlib import Path

import pytest
import torch

from saccade.nets.map_cache import MapCache


@pytest.mark.parametrize("kept", [False, True])
def test_maps_in_memory_are_bounded(kept: bool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    made: list[int] = []

    def get(number: int) -> torch.Tensor:
        return cache.get(str(number), "net", "weights", (8, 8), lambda: (made.append(number), maps[number])[1])

    cache, maps = MapCache(tmp_path / "maps" if kept else None), torch.randn(5, 2, 3, 3)
    monkeypatch.setattr("saccade.nets.map_cache.LARGEST", 3 * maps[0].nbytes)
    for number in (0, 1, 2, 0, 3, 4):
        assert torch.equal(get(number), maps[number])
    assert made == [0, 1, 2, 3, 4]  # 0 was in memory
    assert len(cache) == 3
    assert torch.equal(get(0), maps[0])  # made again, or read from its file
    assert made == [0, 1, 2, 3, 4] + ([] if kept else [0])
