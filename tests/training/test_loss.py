"""The loss is torch's own cross entropy, and with one output its binary cross entropy."""

import numpy as np
import pytest
import torch
from hypothesis import given, settings, strategies as st
from torch.nn import functional

from telltale.batches.feed import Batch
from telltale.training.loss import Loss, class_logits, class_weights

LOGITS = torch.tensor([[2.0, -1.0, 0.5], [0.0, 3.0, 1.0], [-2.0, 0.1, 0.2], [5.0, 5.0, -5.0]])
LABELS = torch.tensor([0, 1, 2, 0])


def batch(labels: torch.Tensor = LABELS, **mixed: torch.Tensor) -> Batch:
    return Batch(torch.zeros(len(labels), 3, 8, 8), labels, np.arange(len(labels)), **mixed)


@settings(deadline=None)
@given(st.lists(st.tuples(st.floats(-90, 90, width=32), st.booleans()), min_size=1, max_size=9))
def test_one_output_is_binary_cross_entropy(pairs):
    outputs = torch.tensor([[value] for value, _ in pairs])
    labels = torch.tensor([int(right) for _, right in pairs])
    expected = functional.binary_cross_entropy_with_logits(outputs[:, 0], labels.float(), reduction="none")
    torch.testing.assert_close(Loss()(outputs, batch(labels)), expected)
    torch.testing.assert_close(class_logits(outputs).softmax(1)[:, 1], outputs[:, 0].sigmoid())


@pytest.mark.parametrize("smoothing", [0.0, 0.1, 0.5])
def test_several_outputs_are_cross_entropy_with_label_smoothing(smoothing):
    expected = functional.cross_entropy(LOGITS, LABELS, reduction="none", label_smoothing=smoothing)
    torch.testing.assert_close(Loss(smoothing=smoothing)(LOGITS, batch()), expected)
    target = functional.one_hot(LABELS, 3) * (1 - smoothing) + smoothing / 3
    torch.testing.assert_close(expected, -(target * LOGITS.log_softmax(1)).sum(1))


def test_smoothing_counts_for_one_output_too():
    outputs, labels = torch.tensor([[1.5], [-0.5]]), torch.tensor([1, 0])
    target = labels * 0.8 + 0.1
    expected = functional.binary_cross_entropy_with_logits(outputs[:, 0], target, reduction="none")
    torch.testing.assert_close(Loss(smoothing=0.2)(outputs, batch(labels)), expected)


def test_weights_multiply_the_loss_of_their_class():
    weights = torch.tensor([0.5, 2.0, 3.0])
    plain = Loss()(LOGITS, batch())
    torch.testing.assert_close(Loss(weights=weights)(LOGITS, batch()), plain * torch.tensor([0.5, 2.0, 3.0, 0.5]))


def test_a_mixed_picture_counts_for_both_labels_by_their_shares():
    others, share = torch.tensor([1, 1, 0, 2]), torch.tensor([1.0, 0.5, 0.25, 0.0])
    own, other = Loss()(LOGITS, batch()), Loss()(LOGITS, batch(others))
    found = Loss()(LOGITS, batch(others=others, share=share))
    torch.testing.assert_close(found, share * own + (1 - share) * other)
    assert found[0] == own[0] and found[3] == other[3]
    weights = torch.tensor([1.0, 10.0, 100.0])
    found = Loss(weights=weights)(LOGITS, batch(others=others, share=share))
    torch.testing.assert_close(found, share * own * weights[LABELS] + (1 - share) * other * weights[others])


def test_the_loss_is_f32_whatever_the_network_gives():
    assert Loss()(LOGITS.bfloat16(), batch()).dtype == torch.float32


@given(st.lists(st.integers(0, 4), min_size=1, max_size=60))
def test_class_weights_make_every_class_count_the_same(labels):
    codes = np.array(labels)
    weights = class_weights(codes, 6)
    assert weights.dtype == np.float32
    assert weights[codes].mean() == pytest.approx(1, rel=1e-5)
    sums = [weights[codes[codes == code]].sum() for code in set(labels)]
    assert sums == pytest.approx([sums[0]] * len(sums), rel=1e-5)
