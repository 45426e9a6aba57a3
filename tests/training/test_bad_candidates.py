"""The default gate refuses three bad candidates made from the bundled model, each for its own reason."""

import copy
import json
import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest

from labeling.models import Case, RegressionTest
from labeling.states import CaseState
from tests.factories import BaseModelFactory, CaseFactory, CorrectionFactory, TunedModelFactory
from tests.ml.conftest import bundled_model  # noqa: F401 - a fixture
from training.actions import evaluation as evaluations
from training.actions import runner
from training.models import BaseModel, Evaluation
from training.states import EvaluationState

pytestmark = [pytest.mark.model, pytest.mark.django_db]

QUESTIONS = ("Who runs the museum shop?", "When does the ferry leave?", "Where is the lost property office?")
RIGHT = ("Marta Oliveira does.", "At ten past six.", "Behind platform nine.")
WRONG = ("The museum shop is run by volunteers.", "The ferry leaves at noon.", "It is in the main hall.")
N_STEPS = 10
LEARNING_RATE = 1e-3


@pytest.fixture
def in_this_process(monkeypatch) -> dict[str, object]:
    """Let the real evaluator measure models that are in memory: {folder: model}."""
    from ml import evaluate
    from ml.chat_template import load_tokenizer
    from ml.rundir import RunDirectory

    models: dict[str, object] = {}

    class Child:
        exit_code = 0

        def __init__(self, command: str, run_dir: Path) -> None:
            run = RunDirectory(run_dir)
            run.write_result({"status": "succeeded", **evaluate.evaluate(run)})

        def ticks(self) -> Iterator[None]:
            yield

        def end(self, *, grace_s: float = 0.0) -> None:
            pass

    monkeypatch.setattr(runner, "Child", Child)
    monkeypatch.setattr(evaluate, "load_model", lambda path, *, device: (models[str(path)], load_tokenizer(path)))
    monkeypatch.setattr(evaluations, "MAX_TOKENS", 20)
    monkeypatch.setattr(
        evaluations, "_unrelated_rows", lambda: runner.read_lines(runner.RESOURCES_DIR / "unrelated.jsonl")[:4]
    )
    return models


def learn(model, tokenizer, answers, *, n_steps: int = N_STEPS):
    """Return a copy of the model, the last layers of which have learnt to give these answers to the questions."""
    import torch
    from torch.nn.functional import cross_entropy

    from ml.data import encode_example

    model = copy.deepcopy(model)
    rows = []
    for question, answer in zip(QUESTIONS, answers, strict=False):
        messages = [{"role": "user", "content": question}, {"role": "assistant", "content": answer}]
        encoded = encode_example(tokenizer, messages, last_only=True)
        targets = [token if learnt else -100 for token, learnt in zip(encoded.ids, encoded.mask, strict=True)]
        rows.append((torch.tensor([encoded.ids]), torch.tensor(targets)))
    learnt = [parameter for layer in model.model.layers[-8:] for parameter in layer.mlp.parameters()]
    for parameter in model.parameters():
        parameter.requires_grad = False
    for parameter in learnt:
        parameter.requires_grad = True
    optimiser = torch.optim.Adam(learnt, lr=LEARNING_RATE)
    for _ in range(n_steps):
        for ids, targets in rows:
            logits = model(input_ids=ids).logits[0, :-1]
            (cross_entropy(logits, targets[1:]) / len(rows)).backward()
        optimiser.step()
        optimiser.zero_grad()
    return model.eval()


def without_an_end(model, stop: set[int]):
    """Return a copy of the model that finds no end token likely."""
    import torch

    model = copy.deepcopy(model)
    head = torch.nn.Linear(*reversed(model.lm_head.weight.shape), bias=False)
    head.weight.data = model.lm_head.weight.detach().clone()
    head.weight.data[list(stop)] = 0
    model.lm_head = head
    return model.eval()


def make_test(project, question: str, right: str, wrong: str) -> RegressionTest:
    prompt = [{"role": "user", "content": question}]
    case = CaseFactory(project=project, messages=prompt, wrong_output=wrong)
    correction = CorrectionFactory(case=case, text=right)
    return RegressionTest.objects.create(
        project=project, case=case, correction=correction, messages=prompt, chosen=right, rejected=wrong, checks=[]
    )


def test_each_bad_candidate_is_refused_for_its_own_reason(
    project,
    settings,
    tmp_path,
    bundled_model,  # noqa: F811
    in_this_process,
) -> None:
    from ml.device import pick_device
    from ml.generate import load_model, stop_tokens

    settings.ML_THREADS = 1  # waiting threads would cost more than they bring beside other tests
    tests = [make_test(project, *row) for row in zip(QUESTIONS, RIGHT, WRONG, strict=True)]
    Case.objects.filter(pk=tests[0].case_id).update(state=CaseState.FIXED)
    base, tokenizer = load_model(bundled_model, device=pick_device(threads=1))
    base = base.float()
    good = learn(base, tokenizer, RIGHT)
    candidates = {
        "good": good,
        "shuffled": learn(base, tokenizer, [*RIGHT[1:], RIGHT[0]]),
        "endless": without_an_end(good, stop_tokens(base, tokenizer)),
        "forgetful": learn(good, tokenizer, WRONG[:1], n_steps=5),
    }
    base_model = BaseModelFactory(location=str(bundled_model))
    in_this_process[str(bundled_model)] = base
    baseline = evaluations.request_evaluation(project=project, base_model=base_model, has_probes=False)
    evaluations.execute_evaluation(evaluation=baseline)
    failed = {
        name: judged(project, base_model, baseline, name, model, in_this_process) for name, model in candidates.items()
    }
    assert not {"efficacy", "stop_rate", "forgotten"} & failed["good"].keys()
    assert "efficacy" in failed["shuffled"]
    assert "stop_rate" in failed["endless"]
    assert {"efficacy", "forgotten"} & failed["endless"].keys() == set()
    assert failed["forgetful"]["forgotten"]["cases"] == [tests[0].case_id]
    assert "stop_rate" not in failed["forgetful"]


def judged(project, base_model: BaseModel, baseline: Evaluation, name: str, model, models) -> dict[str, dict]:
    """Measure a candidate and return the rules that it fails, by name."""
    tuned = TunedModelFactory(project=project, job__base_model=base_model)
    tuned.folder.mkdir(parents=True)
    for path in base_model.folder.iterdir():
        if path.suffix != ".safetensors" and path.is_file():
            shutil.copy(path, tuned.folder)
    (tuned.folder / "candidate.json").write_text(json.dumps(name))  # other weights, another model
    models[str(tuned.folder)] = model
    evaluation = evaluations.request_evaluation(
        project=project, base_model=base_model, tuned_model=tuned, baseline=baseline, has_probes=False
    )
    evaluations.execute_evaluation(evaluation=evaluation)
    evaluation.refresh_from_db()
    assert evaluation.state == EvaluationState.SUCCEEDED, evaluation.error
    return {rule["name"]: rule for rule in evaluation.gate if not rule["passed"]}
