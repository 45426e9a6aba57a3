import pytest
import torch

from ml.data import encode_prompt
from ml.generate import PromptBatch, batches, common_prefix
from tests.ml.tiny import build_model, build_tokenizer, user

TEXTS = ["the cat", "what is the capital of France", "the dog ran and the cat sat on the mat"]


@pytest.fixture(scope="module")
def tokenizer():
    return build_tokenizer()


@pytest.fixture(scope="module")
def model(tokenizer):
    return build_model(tokenizer).double()


def test_batches_are_length_sorted_and_whole():
    assert list(batches([3, 9, 1, 5], size=2)) == [[1, 3], [0, 2]]


def test_common_prefix_leaves_a_token_of_each():
    assert common_prefix([[1, 2, 3], [1, 2, 4]]) == 2
    assert common_prefix([[1, 2], [1, 2]]) == 1
    assert common_prefix([[1], [2]]) == 0


@torch.inference_mode()
def test_scores_equal_those_of_a_plain_forward_pass(model, tokenizer):
    prompts = [encode_prompt(tokenizer, [user(text)]) for text in TEXTS]
    answers = [[9, 8, 7, 2], [5], [11, 12]]
    batch = PromptBatch(model, prompts)
    for _ in range(2):  # the batch is as it was after scoring
        scores = batch.score(answers)
        for prompt, answer, score in zip(prompts, answers, scores, strict=True):
            logits = model(torch.tensor([prompt + answer])).logits[0]
            logprobs = logits.float().log_softmax(-1)[len(prompt) - 1 : -1]
            expected = logprobs.gather(1, torch.tensor(answer)[:, None])[:, 0].tolist()
            assert score == pytest.approx(expected, abs=1e-4)


@torch.inference_mode()
def test_greedy_answers_equal_those_of_single_prompts(model, tokenizer):
    """Rows that end early leave the batch without changing the others."""
    prompts = [encode_prompt(tokenizer, [user(text)]) for text in TEXTS]

    def plain(prompt, stop):
        ids = list(prompt)
        for _ in range(20):
            token = model(torch.tensor([ids])).logits[0, -1].argmax().item()
            if token in stop:
                return ids[len(prompt) :], True
            ids.append(token)
        return ids[len(prompt) :], False

    free = [plain(prompt, set())[0] for prompt in prompts]
    stop = {free[0][3], free[1][10]}
    answers = PromptBatch(model, prompts).decode(max_tokens=20, stop=stop)
    assert [(answer.ids, answer.is_stopped) for answer in answers] == [plain(prompt, stop) for prompt in prompts]
    assert any(answer.is_stopped for answer in answers)


def test_sampling_follows_its_seed(model, tokenizer):
    prompts = [encode_prompt(tokenizer, [user(text)]) for text in TEXTS]

    def sample(seed):
        with torch.inference_mode():
            generator = torch.Generator().manual_seed(seed)
            return PromptBatch(model, prompts).decode(max_tokens=8, stop=set(), temperature=1.0, generator=generator)

    assert sample(1) == sample(1)
    assert sample(1) != sample(2)
