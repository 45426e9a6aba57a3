"""The path that everybody walks all day, hand in and get the next task, asks the database no more than it has to."""

import uuid

import pytest
from django.db import connection
from django.test.utils import CaptureQueriesContext

from common.models import Transition
from labeling.actions.draft import save_draft
from labeling.actions.instructions import acknowledge, publish_instructions
from labeling.models import Draft, Submission, Task
from labeling.queries import current_instructions
from tests.factories import TaskFactory

# SQLite changes a state, writes its line of the history, and the fingerprint with its bands, in statements of their own
N_MORE = 3 if connection.vendor == "sqlite" else 0


@pytest.fixture
def tasks(project, alice, bob) -> list[Task]:
    publish_instructions(project=project, text="Be brief.", based_on=0, by=alice)
    acknowledge(version=current_instructions(project), user=bob)
    prompts = ("How long do I boil an egg?", "How hot is an oven for bread?", "What goes into a batter?")
    return [TaskFactory(project=project, messages=[{"role": "user", "content": prompt}]) for prompt in prompts]


def hand_in(client, task: Task, answer: str, revision: int = 0):
    data = {"turn": [answer], "idempotency_key": uuid.uuid4(), "instructions": 1, "revision": revision}
    return client.post(f"/p/kitchen/write/{task.pk}/submit/", data, headers={"HX-Request": "true"})


@pytest.mark.parametrize(("has_draft", "most"), [(False, 19), (True, 22)])
def test_handing_in_and_the_next_task_cost_so_many_statements(tasks, bob, sign_in, has_draft, most) -> None:
    client = sign_in(bob)
    client.get("/p/kitchen/write/")
    hand_in(client, tasks[0], "Six minutes for a soft one, ten for a hard one, counted from when the water boils.")
    answer = "As hot as it goes at first, then two hundred degrees until the crust is brown and sounds hollow."
    if has_draft:
        messages = [*tasks[1].messages, {"role": "assistant", "content": answer}]
        save_draft(task=Task.objects.get(pk=tasks[1].pk), user=bob, messages=messages, revision=0)
    with CaptureQueriesContext(connection) as queries:
        response = hand_in(client, tasks[1], answer, revision=int(has_draft))
    assert response.headers["HX-Push-Url"] == f"/p/kitchen/write/{tasks[2].pk}/"
    assert "What goes into a batter?" in response.text
    submission = Submission.objects.get(task=tasks[1])
    assert (submission.messages[-1]["content"], submission.instruction_version.number) == (answer, 1)
    assert submission.fingerprints.get().bands.count() == 12
    lines = Transition.objects.filter(subject_type="labeling.task", subject_pk__in=[tasks[1].pk, tasks[2].pk])
    assert [(row.before, row.after, row.by_pk, row.project_pk) for row in lines.order_by("pk")] == [
        ("open", "leased", bob.pk, tasks[1].project_id),
        ("leased", "done", bob.pk, tasks[1].project_id),
        ("open", "leased", bob.pk, tasks[2].project_id),
    ]
    assert not Draft.objects.exists()
    assert len(queries) <= most + N_MORE, "\n".join(query["sql"][:200] for query in queries)


def test_a_key_beyond_what_the_database_counts_is_no_task(project, bob, sign_in) -> None:
    assert sign_in(bob).get(f"/p/kitchen/write/{10**30}/").status_code == 404
