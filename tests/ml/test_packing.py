"""Packing: what is laid where, what is learnt of it, and that sequences of a pack do not see each other."""

from collections import Counter

import pytest
import torch

from ml.attention import causal_mask, use_packed_attention
from ml.data import Encoded, encode_example
from ml.losses import head_loss
from ml.many_rows import collate, forward_packed
from ml.packing import Corpus, pack, plan_bulk, split_rows
from tests.ml.templates import FAMILIES, build_family, table
from tests.ml.tiny import assistant, build_model, build_tokenizer, user

ROWS = [Encoded(ids=[7, 1, 2, 3], mask=[0, 0, 0, 1]), Encoded(ids=[7, 1, 5], mask=[0, 0, 1])]
ONE_TURN = [user("the cat"), assistant("sat on the mat")]
TWO_TURNS = [user("the dog"), assistant("ran"), user("the mat"), assistant("sat")]

# One pass: the shared beginning, then the rest of each row. In brackets what is learnt, all else is only read.
PACKED = {
    "smollm2": """
        <|im_start|> system Ċ Be Ġkind <|im_end|> Ċ <|im_start|> user Ċ the
        Ġcat <|im_end|> Ċ <|im_start|> assistant Ċ [sat] [Ġon] [Ġthe] [Ġmat] [<|im_end|>]
        Ġdog <|im_end|> Ċ <|im_start|> assistant Ċ [ran] [<|im_end|>] Ċ
        <|im_start|> user Ċ the Ġmat <|im_end|> Ċ <|im_start|> assistant Ċ [sat] [<|im_end|>]
    """,
    "llama3": """
        <|begin_of_text|> <|start_header_id|> user <|end_header_id|> Ċ Ċ the
        Ġcat <|eot_id|> <|start_header_id|> assistant <|end_header_id|> Ċ Ċ [sat] [Ġon] [Ġthe] [Ġmat] [<|eot_id|>]
        Ġdog <|eot_id|> <|start_header_id|> assistant <|end_header_id|> Ċ Ċ [ran] [<|eot_id|>]
        <|start_header_id|> user <|end_header_id|> Ċ Ċ the Ġmat <|eot_id|>
        <|start_header_id|> assistant <|end_header_id|> Ċ Ċ [sat] [<|eot_id|>]
    """,
    "qwen": """
        <|im_start|> user Ċ the
        Ġcat <|im_end|> Ċ <|im_start|> assistant Ċ [sat] [Ġon] [Ġthe] [Ġmat] [<|im_end|>]
        Ġdog <|im_end|> Ċ <|im_start|> assistant Ċ [ran] [<|im_end|>] Ċ
        <|im_start|> user Ċ the Ġmat <|im_end|> Ċ <|im_start|> assistant Ċ [sat] [<|im_end|>]
    """,
    "plain": """
        User : Ċ the
        Ġcat Ċ Ċ Assistant : Ċ [sat] [Ġon] [Ġthe] [Ġmat] [<|endoftext|>]
        Ġdog Ċ Ċ Assistant : Ċ [ran] [<|endoftext|>] Ċ Ċ
        User : Ċ the Ġmat Ċ Ċ Assistant : Ċ [sat] [<|endoftext|>]
    """,
}


@pytest.mark.parametrize("family", FAMILIES)
def test_a_pack_learns_exactly_what_its_rows_learn(family):
    tokenizer = build_family(family)
    packed = pack([encode_example(tokenizer, messages) for messages in (ONE_TURN, TWO_TURNS)], [1.0, 1.0])
    ids = packed.ids[0].tolist()
    learnt = [0] * len(ids)
    for place, target in zip(packed.places.tolist(), packed.targets.tolist(), strict=True):
        # What predicts a learnt token stands just before it, also where the row goes on behind the shared beginning.
        assert ids[place + 1] == target
        learnt[place + 1] = 1
    assert table(tokenizer, ids, learnt) == " ".join(PACKED[family].split())


def test_a_pack_shares_the_beginning_and_gives_each_row_its_positions():
    packed = pack(ROWS, [0.5, 2.0])
    assert packed.ids.tolist() == [[7, 1, 2, 3, 1, 5]]
    assert packed.positions.tolist() == [[0, 1, 2, 3, 1, 2]]
    assert packed.places.tolist() == [2, 4]
    assert packed.targets.tolist() == [3, 5]
    assert packed.weights.tolist() == [0.5, 2.0]
    assert (packed.layout.n_prefix, packed.layout.lengths) == (1, (3, 2))


def test_a_pack_that_shares_nothing():
    packed = pack(ROWS, [1.0, 1.0], is_shared=False)
    assert packed.ids.tolist() == [[7, 1, 2, 3, 7, 1, 5]]
    assert packed.positions.tolist() == [[0, 1, 2, 3, 0, 1, 2]]
    assert packed.places.tolist() == [2, 5]
    assert packed.layout.lengths == (4, 3)


def test_a_first_token_is_not_learnt_from_the_row_before():
    packed = pack([Encoded(ids=[1, 2], mask=[0, 1]), Encoded(ids=[3, 4], mask=[1, 1])], [1.0, 1.0])
    assert packed.targets.tolist() == [2, 4]


@pytest.mark.parametrize("is_shared", [True, False])
def test_a_pack_trains_as_its_rows_would_one_by_one(is_shared):
    """Loss and gradients equal those of whole, single rows through the model as transformers runs it."""
    tokenizer = build_tokenizer()
    rows = [
        encode_example(tokenizer, [user("the cat"), assistant("sat")]),
        encode_example(tokenizer, [user("what is the capital of France"), assistant("the mat and the dog")]),
        encode_example(tokenizer, [user("the dog"), assistant("ran"), user("is"), assistant("on the mat")]),
    ]
    plain, packed = build_model(tokenizer).double(), build_model(tokenizer).double()
    for row in rows:
        labels = torch.tensor([row.ids]).masked_fill(torch.tensor([row.mask]) == 0, -100)
        logits = plain(torch.tensor([row.ids])).logits
        torch.nn.functional.cross_entropy(logits[0, :-1], labels[0, 1:], reduction="sum").backward()
    use_packed_attention(packed)
    one = pack(rows, [1.0] * 3, is_shared=is_shared)
    assert bool(one.layout.n_prefix) == is_shared
    forward_packed(
        packed,
        input_ids=one.ids,
        position_ids=one.positions,
        places=one.places,
        targets=one.targets,
        weights=one.weights,
        layout=one.layout,
    )[0].backward()
    for ours, theirs in zip(packed.parameters(), plain.parameters(), strict=True):
        torch.testing.assert_close(ours.grad, theirs.grad, rtol=1e-4, atol=1e-6)


def test_a_row_of_a_pack_does_not_see_the_others():
    """Another neighbour changes nothing in a row's states, and another own beginning does."""
    tokenizer = build_tokenizer()
    model = build_model(tokenizer)
    use_packed_attention(model)

    def states(first, second):
        packed = pack([Encoded(ids=ids, mask=[0, 1, 1]) for ids in (first, second)], [1.0, 1.0], is_shared=False)
        hidden = model.get_decoder()(input_ids=packed.ids, position_ids=packed.positions, layout=packed.layout)
        return hidden.last_hidden_state[0, 3:]

    torch.testing.assert_close(states([5, 6, 7], [8, 9, 10]), states([11, 12, 13], [8, 9, 10]))
    assert not torch.allclose(states([5, 6, 7], [8, 9, 10])[1:], states([5, 6, 7], [20, 9, 10])[1:])


def test_the_mask_of_the_last_queries():
    inf = float("inf")
    assert causal_mask(2, 4, None, torch.float32, "cpu").tolist() == [[0, 0, 0, -inf], [0, 0, 0, 0]]
    assert causal_mask(2, 4, 2, torch.float32, "cpu").tolist() == [[-inf, 0, 0, -inf], [-inf, -inf, 0, 0]]


@pytest.mark.parametrize("cap", [None, 2.0])
def test_head_loss_is_the_weighted_cross_entropy_with_its_gradients(cap, monkeypatch):
    monkeypatch.setattr("ml.losses.CPU_LOGITS", 3 * 11)  # pieces of three, the last of one
    torch.manual_seed(0)
    hidden, head = torch.randn(7, 5, requires_grad=True), torch.randn(11, 5, requires_grad=True)
    targets, weights = torch.arange(7), torch.linspace(0.1, 1, 7)
    logits = hidden @ head.T
    if cap:
        logits = cap * torch.tanh(logits / cap)
    expected = (torch.nn.functional.cross_entropy(logits, targets, reduction="none") * weights).sum()
    gradients = torch.autograd.grad(3 * expected, (hidden, head))
    loss, right = head_loss(hidden, head, targets, weights, cap=cap)
    torch.testing.assert_close(loss, expected)
    torch.testing.assert_close(torch.autograd.grad(3 * loss, (hidden, head)), gradients)
    assert right.tolist() == (logits.argmax(-1) == targets).tolist()


def test_a_corpus_gives_back_what_went_in():
    corpus = Corpus(ROWS)
    assert [corpus[0], corpus[1]] == ROWS
    assert (len(corpus), corpus.length(0), corpus.n_learnt) == (2, 4, [1, 1])


def test_rows_are_split_into_passes_of_alike_size():
    assert split_rows([5, 9, 4, 2], max_tokens=10) == [[1, 3], [0, 2]]
    assert split_rows([50, 1], max_tokens=10) == [[0], [1]]
    assert split_rows([3], max_tokens=10, n_processes=2) == [[0], []]
    assert [len(split_rows([9] * 5, max_tokens=10, n_processes=n)) for n in (1, 2, 4)] == [5, 6, 8]


def test_every_learnt_token_of_a_step_counts_the_same_however_it_is_split():
    """The mean over two processes of their weighted sums is the mean over all learnt tokens."""
    rows = [Encoded(ids=list(range(n)), mask=[0] + [1] * (n - 1)) for n in (4, 6, 3)]
    corpus = Corpus(rows)
    for max_tokens in (100, 5):
        halves = [
            collate(corpus, [0, 1, 2], max_tokens=max_tokens, process=i, n_processes=2, is_shared=False) for i in (0, 1)
        ]
        assert len(halves[0]) == len(halves[1])
        targets = [t for half in halves for one in half for t in one["targets"][one["weights"] > 0].tolist()]
        assert sorted(targets) == sorted([1, 2, 3, 1, 2, 3, 4, 5, 1, 2])
        assert sum(float(one["weights"].sum()) for half in halves for one in half) / 2 == pytest.approx(1)


def test_a_process_without_rows_takes_part_without_weight():
    corpus = Corpus([Encoded(ids=[1, 2], mask=[0, 1])])
    idle = collate(corpus, [0], max_tokens=10, process=1, n_processes=2, is_shared=False)
    assert [one["weights"].tolist() for one in idle] == [[0.0]]


def test_weights_say_how_often_a_row_appears():
    steps = plan_bulk([1, 2, 0.5], n_epochs=4, batch_size=3, seed=1)
    order = [row for step in steps for row in step.examples]
    assert Counter(order) == {0: 4, 1: 8, 2: 2}
    assert [len(step.examples) for step in steps] == [3, 3, 3, 3, 2]
    assert steps[-1].epoch == 4


def test_every_epoch_shuffles_anew_and_the_plan_follows_from_the_seed():
    plan = plan_bulk([1] * 20, n_epochs=2, batch_size=20, seed=1)
    assert sorted(plan[0].examples) == sorted(plan[1].examples) == list(range(20))
    assert plan[0].examples != plan[1].examples
    assert plan == plan_bulk([1] * 20, n_epochs=2, batch_size=20, seed=1)
    assert plan != plan_bulk([1] * 20, n_epochs=2, batch_size=20, seed=2)
