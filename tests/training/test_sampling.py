from __future__ import annotations

import pytest
import torch

from landscape.randomness import Stream, permutation
from landscape.training.sampling import Mixed, Shuffled


def test_shuffled_gives_every_example_once_in_the_order_of_the_epoch() -> None:
    sampling = Shuffled(num_examples=10, batch_size=4, seed=3)
    batches = sampling.batches(2)
    assert [len(rows) for rows in batches] == [4, 4, 2]
    assert sampling.num_batches == 3
    order = permutation(10, seed=3, stream=Stream.SHUFFLE, a=2)
    assert torch.equal(torch.cat(batches), torch.from_numpy(order))


@pytest.mark.parametrize(
    ("first", "second", "size", "expected"),
    [
        pytest.param(8, 8, 4, [(2, 2)] * 4, id="equal"),
        pytest.param(8, 100, 4, [(2, 2)] * 4, id="many-unlabelled"),
        pytest.param(8, 3, 4, [(2, 2)] * 4, id="few-unlabelled-come-again"),
        pytest.param(5, 5, 4, [(2, 2), (2, 2), (1, 1)], id="last-batch-is-smaller"),
        pytest.param(6, 6, 5, [(3, 2), (3, 2)], id="odd"),
        pytest.param(7, 6, 5, [(3, 2), (3, 2), (1, 1)], id="odd-rest"),
    ],
)
def test_mixed_batches(first: int, second: int, size: int, expected: list[tuple[int, int]]) -> None:
    sampling = Mixed(num_first=first, num_second=second, batch_size=size, seed=0)
    batches = sampling.batches(0)
    assert sampling.num_batches == len(batches)
    assert [(int((rows < first).sum()), int((rows >= first).sum())) for rows in batches] == expected
    rows = torch.cat(batches)
    assert sorted(rows[rows < first].tolist()) == list(range(first))
    others = (rows[rows >= first] - first).tolist()
    assert max(others) < second
    counts = [others.count(row) for row in range(second)]
    assert max(counts) - min(counts) <= 1
    assert not torch.equal(rows, torch.cat(sampling.batches(1)))
