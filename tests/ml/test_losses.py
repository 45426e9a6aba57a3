import math

import pytest
import torch

from ml.losses import accuracies, ending_loss, kl_divergence, preference_loss, row_means, row_weights, token_logprobs


def test_token_logprobs_of_even_and_of_skewed_logits():
    logits = torch.tensor([[0.0, 0.0, 0.0, 0.0], [math.log(3.0), 0.0, -1e9, -1e9]])
    result = token_logprobs(logits, torch.tensor([2, 0]))
    assert result.tolist() == pytest.approx([math.log(1 / 4), math.log(3 / 4)])


def test_row_means_weigh_rows_alike():
    values, rows = torch.tensor([1.0, 3.0, 10.0]), torch.tensor([0, 0, 1])
    assert row_means(values, rows, 2).tolist() == [2.0, 10.0]


def test_preference_loss_is_log_two_at_the_margin_and_falls_beyond():
    at_margin = preference_loss(torch.tensor([-1.0]), torch.tensor([-1.5]), beta=2.0, margin=0.5)
    beyond = preference_loss(torch.tensor([-1.0]), torch.tensor([-2.5]), beta=2.0, margin=0.5)
    assert at_margin.item() == pytest.approx(math.log(2))
    assert beyond.item() == pytest.approx(math.log(1 + math.exp(-2)))


def test_kl_of_a_half_half_reference_by_hand():
    """KL((1/2, 1/2) || (3/4, 1/4)) = 1/2 ln(2/3) + 1/2 ln 2."""
    reference, logits = torch.tensor([[0.0, 0.0]]), torch.tensor([[math.log(3.0), 0.0]])
    expected = 0.5 * math.log(2 / 3) + 0.5 * math.log(2)
    assert kl_divergence(reference, logits).item() == pytest.approx(expected)
    assert kl_divergence(logits, logits).item() == pytest.approx(0.0, abs=1e-7)


def test_kl_sends_no_gradient_to_the_reference():
    reference = torch.zeros(1, 3, requires_grad=True)
    logits = torch.tensor([[1.0, 0.0, 0.0]], requires_grad=True)
    kl_divergence(reference, logits).backward()
    assert reference.grad is None
    assert logits.grad.abs().sum() > 0


def test_row_weights_follow_length_up_to_a_limit():
    assert row_weights([8, 24]).tolist() == pytest.approx([0.25, 0.75])
    assert row_weights([32, 500]).tolist() == pytest.approx([0.5, 0.5])


def test_ending_loss_pushes_up_to_an_even_chance_and_no_further():
    logprobs = torch.tensor([math.log(1 / 8), math.log(3 / 4)], requires_grad=True)
    loss = ending_loss(logprobs)
    assert loss.item() == pytest.approx(math.log(4) / 2)
    loss.backward()
    assert logprobs.grad.tolist() == [-0.5, 0.0]


def test_accuracies_count_tokens_and_whole_rows():
    logits = torch.tensor([[0.0, 2.0], [3.0, 0.0], [0.0, 1.0], [0.0, 1.0], [0.0, 1.0]])
    targets, rows = torch.tensor([1, 0, 0, 1, 1]), torch.tensor([0, 0, 1, 1, 1])
    token, sequence = accuracies(logits, targets, rows, 2)
    assert (round(token.item(), 6), sequence.item()) == (0.8, 0.5)
