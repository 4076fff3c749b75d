from __future__ import annotations

import math

import numpy as np
import pytest
import torch

from landscape.losses import margin


def test_margin_is_the_largest_other_logit_minus_the_labels() -> None:
    logits = np.random.default_rng(0).normal(size=(30, 7))
    labels = np.arange(30) % 7
    expected = [
        max(value for k, value in enumerate(row) if k != label) - row[label]
        for row, label in zip(logits.tolist(), labels.tolist(), strict=True)
    ]
    found = margin(torch.from_numpy(logits), torch.from_numpy(labels))
    assert found.dtype == torch.float64
    assert found.tolist() == pytest.approx(expected, rel=1e-15)


def test_margin_is_positive_exactly_where_the_model_is_wrong() -> None:
    logits = torch.randn(200, 5, generator=torch.Generator().manual_seed(0))
    labels = torch.arange(200) % 5
    assert torch.equal(margin(logits, labels) > 0, logits.argmax(dim=1) != labels)


def test_margin_of_reduced_precision_is_subtracted_in_single_precision() -> None:
    logits = torch.tensor([[256.0, 1.0]], dtype=torch.bfloat16)
    found = margin(logits, torch.tensor([1]))
    assert found.dtype == torch.float32
    assert found.item() == 255.0


def test_logits_that_are_no_numbers_give_no_number() -> None:
    logits = torch.tensor([[math.nan, 1.0, 2.0], [1.0, math.nan, 2.0]])
    assert margin(logits, torch.tensor([0, 0])).isnan().all()
