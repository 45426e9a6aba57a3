import torch

from ml.batch import collate, head, learnt_hidden
from ml.data import Encoded, encode_example
from tests.ml.tiny import assistant, build_model, build_tokenizer, user


def test_collate_shares_the_beginning_up_to_what_predicts_a_learnt_token():
    batch = collate([Encoded(ids=[7, 1, 2, 3], mask=[0, 0, 0, 1]), Encoded(ids=[7, 1, 5], mask=[0, 0, 1])])
    assert batch["prefix"].tolist() == [[7]]
    assert batch["ids"].tolist() == [[1, 2, 3], [1, 5, 0]]
    assert batch["real"].tolist() == [[1, 1, 1], [1, 1, 0]]
    assert batch["learnt"].tolist() == [[0, 0, 1], [0, 1, 0]]


def test_collate_of_rows_that_share_nothing():
    batch = collate([Encoded(ids=[1, 2], mask=[0, 1]), Encoded(ids=[3, 4], mask=[0, 1])])
    assert batch["prefix"].shape == (1, 0)
    assert batch["ids"].tolist() == [[1, 2], [3, 4]]


def test_a_batch_trains_as_its_rows_would_one_by_one():
    """Loss and gradients of padded rows with a shared beginning equal those of whole, single rows."""
    tokenizer = build_tokenizer()
    model = build_model(tokenizer).double()
    rows = [
        encode_example(tokenizer, [user("the cat"), assistant("sat")]),
        encode_example(tokenizer, [user("what is the capital of France"), assistant("the mat and the dog")]),
    ]
    assert collate(rows)["prefix"].numel() > 5

    def gradient():
        grad = model.model.layers[0].self_attn.k_proj.weight.grad.clone()
        model.zero_grad()
        return grad

    hidden, targets, _ = learnt_hidden(model, collate(rows))
    loss = torch.nn.functional.cross_entropy(head(model, hidden), targets, reduction="sum")
    loss.backward()
    together = gradient()
    expected = torch.zeros((), dtype=torch.double)
    for row in rows:
        ids = torch.tensor([row.ids])
        labels = ids.masked_fill(torch.tensor([row.mask]) == 0, -100)
        logits = model(ids).logits
        expected = expected + torch.nn.functional.cross_entropy(logits[0, :-1], labels[0, 1:], reduction="sum")
    expected.backward()
    torch.testing.assert_close(loss, expected)
    torch.testing.assert_close(together, gradient(), rtol=1e-4, atol=1e-6)


def test_learnt_hidden_names_row_and_token():
    tokenizer = build_tokenizer()
    model = build_model(tokenizer)
    batch = collate([Encoded(ids=[5, 6, 7, 8], mask=[0, 0, 1, 1]), Encoded(ids=[5, 6, 9], mask=[0, 0, 1])])
    hidden, targets, rows = learnt_hidden(model, batch)
    assert targets.tolist() == [7, 8, 9]
    assert rows.tolist() == [0, 0, 1]
    assert hidden.shape == (3, 32)
