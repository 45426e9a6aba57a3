"""The checks when a text is handed in: refused, overridden with a reason, seen by the reviewer."""

import uuid

import pytest
from django.core.management import call_command

from labeling.actions.case import correct_case
from labeling.actions.draft import begin_revision, save_draft
from labeling.actions.errors import HasFindings
from labeling.actions.example import create_example
from labeling.actions.finding import find_problems
from labeling.actions.fingerprint import find_similar
from labeling.actions.retraction import retract_example
from labeling.actions.review import review_submission
from labeling.actions.submission import revise, submit, withdraw
from labeling.actions.task import next_task
from labeling.models import Draft, Example, Fingerprint, FingerprintBand, Submission, Task
from labeling.states import FindingKind, SubmissionState, TaskKind, Verdict
from tests.factories import (
    CaseFactory,
    ExampleFactory,
    InstructionVersionFactory,
    MembershipFactory,
    SubmissionFactory,
    TaskFactory,
)

TEA = "Boil fresh water, pour it over the leaves, wait for three minutes and take the leaves out before you drink it."
TEA_TOO = TEA.replace("three", "four")
SOUP = "Chop an onion and two carrots, fry them gently in butter, add stock and let all of it simmer for half an hour."
CHINESE_TEA = "先把水烧开，再把开水倒在茶叶上，等三分钟，然后把茶叶取出来，趁热慢慢喝，味道最好，也可以加一点蜂蜜。"
MAIL = "Write to jane.doe@gmail.com."
PERSONAL = {"personal": "She is the public contact."}


@pytest.fixture
def bobs(project, bob, member_of):
    return member_of(bob, project)


@pytest.fixture
def carols(project):
    return MembershipFactory(project=project)


@pytest.fixture
def task(project) -> Task:
    return TaskFactory(project=project)


def said(task: Task, *texts: str) -> list[dict[str, str]]:
    roles = ("assistant", "user") if task.messages else ("user", "assistant")
    return [*task.messages, *({"role": roles[n % 2], "content": text} for n, text in enumerate(texts))]


def hand_in(task, membership, *texts, key=None, **overrides: str) -> Submission:
    return submit(
        task=task,
        membership=membership,
        messages=said(task, *texts),
        idempotency_key=key or uuid.uuid4(),
        overrides=overrides,
    )


def kinds(task, by, *texts, version=None) -> list[str]:
    return [
        str(finding.kind) for finding in find_problems(task=task, messages=said(task, *texts), by=by, version=version)
    ]


def test_a_finding_without_a_reason_stores_nothing_and_keeps_the_draft(task, bobs, bob) -> None:
    save_draft(task=task, user=bob, messages=said(task, MAIL), revision=0)
    for overrides in ({}, {"personal": "  "}, {"chatbot": "another kind"}):
        with pytest.raises(HasFindings) as raised:
            hand_in(task, bobs, MAIL, **overrides)
    [finding] = raised.value.findings
    assert (finding.kind, finding.places[0].quote, finding.places[0].turn) == ("personal", "jane.doe@gmail.com", 1)
    assert not Submission.objects.exists()
    assert Draft.objects.get().content["messages"] == said(task, MAIL)


def test_a_reason_overrides_and_is_kept_with_the_submission(task, bobs) -> None:
    key = uuid.uuid4()
    submission = hand_in(task, bobs, MAIL, key=key, **PERSONAL)
    [kept] = submission.findings
    assert (kept["kind"], kept["reason"]) == ("personal", "She is the public contact.")
    assert hand_in(task, bobs, MAIL, key=key) == submission  # a retry of what is stored already is no new question


def test_what_was_changed_leaves_no_finding(task, bobs) -> None:
    with pytest.raises(HasFindings):
        hand_in(task, bobs, MAIL)
    assert hand_in(task, bobs, "Write to help@example.org.", personal="not needed now").findings == []


@pytest.mark.parametrize("through", ["submit", "revise"])
def test_a_revision_is_checked_and_never_a_duplicate_of_its_former_self(task, bobs, bob, rita, through) -> None:
    first = hand_in(task, bobs, TEA)
    review_submission(submission=first, verdict=Verdict.SEND_BACK, by=rita, comment="Four minutes.")
    begin_revision(submission=first, by=bob)
    first.refresh_from_db()

    def again(text: str, **overrides: str) -> Submission:
        if through == "submit":
            return hand_in(task, bobs, text, **overrides)
        return revise(
            submission=first, messages=said(task, text), by=bob, idempotency_key=uuid.uuid4(), overrides=overrides
        )

    with pytest.raises(HasFindings):
        again(f"{TEA_TOO} {MAIL}")
    first.refresh_from_db()
    assert (first.state, Draft.objects.count()) == (SubmissionState.RETURNED, 1)
    second = again(f"{TEA_TOO} {MAIL}", **PERSONAL)
    assert (second.revision, [row["kind"] for row in second.findings]) == (2, ["personal"])


@pytest.mark.parametrize(("text", "other"), [(TEA, TEA_TOO), (CHINESE_TEA, CHINESE_TEA.replace("三", "四"))])
def test_nearly_the_same_text_of_somebody_else(project, task, bobs, carols, text, other) -> None:
    first = hand_in(TaskFactory(project=project), bobs, text)
    with pytest.raises(HasFindings) as raised:
        hand_in(task, carols, other)
    [finding] = raised.value.findings
    assert finding.kind == FindingKind.DUPLICATE
    assert (finding.values["submission"], finding.values["is_own"]) == (first.pk, False)
    assert hand_in(task, carols, SOUP).findings == []


def test_own_work_for_another_task_counts_for_the_same_task_not(project, task, bobs, bob) -> None:
    first = hand_in(task, bobs, TEA)
    withdraw(submission=first, by=bob)
    second = hand_in(task, bobs, TEA_TOO)
    with pytest.raises(HasFindings) as raised:
        hand_in(TaskFactory(project=project), bobs, TEA)
    assert raised.value.findings[0].values["is_own"]
    assert raised.value.findings[0].values["submission"] == second.pk  # the withdrawn one is gone


def test_other_projects_short_answers_and_given_prompts_are_no_duplicates(project, bobs, carols, bob) -> None:
    elsewhere = MembershipFactory(user=bob)
    hand_in(TaskFactory(project=elsewhere.project), elsewhere, TEA)
    long_prompt = TaskFactory(project=project, messages=[{"role": "user", "content": f"{SOUP} Why?"}])
    hand_in(long_prompt, bobs, "Because it is good.")
    assert kinds(long_prompt, carols.user, "So that it is done.") == []
    assert kinds(long_prompt, carols.user, "Because it is good.") == []
    assert kinds(TaskFactory(project=project), carols.user, TEA) == []


def test_a_prompt_that_was_written_before(project, bobs, carols) -> None:
    ask = "How do I make tea without a kettle?"
    first, second = (TaskFactory(project=project, kind=TaskKind.WRITE, messages=[]) for _n in range(2))
    hand_in(first, bobs, ask, TEA)
    with pytest.raises(HasFindings) as raised:
        hand_in(second, carols, ask.lower(), SOUP)
    assert raised.value.findings[0].values["part"] == "prompt"
    assert raised.value.findings[0].places[0].turn == 0


def test_examples_count_until_they_are_retracted(project, task, bobs, rita, alice) -> None:
    case = CaseFactory(project=project)
    correct_case(case=case, text=TEA, by=rita)
    example = Example.objects.get()
    similar = find_similar(task=task, messages=said(task, TEA_TOO), by=bobs.user)
    assert similar is not None
    assert (similar.example, similar.submission) == (example, None)
    retract_example(example=example, by=alice, reason="wrong")
    assert find_similar(task=task, messages=said(task, TEA_TOO), by=bobs.user) is None


def test_an_accepted_text_has_one_fingerprint_an_edited_one_two(project, bobs, rita) -> None:
    plain, edited = (hand_in(TaskFactory(project=project), bobs, text) for text in (TEA, SOUP))
    review_submission(submission=plain, verdict=Verdict.ACCEPT, by=rita)
    assert list(Fingerprint.objects.values_list("submission", "example")) == [(plain.pk, None), (edited.pk, None)]
    messages = [*edited.messages[:-1], {"role": "assistant", "content": f"{SOUP} Serve it with some bread."}]
    review_submission(submission=edited, verdict=Verdict.EDIT, by=rita, messages=messages)
    assert Fingerprint.objects.filter(example=edited.example).count() == 1


def test_what_is_missing_is_filled_in_once(project, task, bobs) -> None:
    messages = [{"role": "user", "content": "Tea?"}, {"role": "assistant", "content": TEA}]
    old = SubmissionFactory(project=project, messages=messages)
    edited = ExampleFactory(project=project, messages=[messages[0], {"role": "assistant", "content": SOUP}])
    assert kinds(task, bobs.user, TEA) == []
    for options in ({}, {}, {"anew": True}):
        call_command("fill_in_fingerprints", verbosity=0, **options)
        assert set(Fingerprint.objects.values_list("submission", "example")) == {(old.pk, None), (None, edited.pk)}
        assert FingerprintBand.objects.count() == 24
    assert kinds(task, bobs.user, TEA) == ["duplicate"]
    assert kinds(task, bobs.user, SOUP) == ["duplicate"]


def test_the_instructions_hints_of_length_and_language(project, task, bob) -> None:
    version = InstructionVersionFactory(project=project, min_words=5, max_words=30, language="en")
    assert kinds(task, bob, "Two of them.") == ["length"]
    assert kinds(task, bob, f"{TEA} {SOUP}") == ["length"]
    assert kinds(task, bob, TEA) == []
    assert kinds(task, bob, CHINESE_TEA[:28]) == ["language"]
    newer = InstructionVersionFactory(project=project, number=2)
    assert kinds(task, bob, "Two.") == []
    assert kinds(task, bob, "Two.", version=version) == ["length"]
    Draft.objects.create(task=task, user=bob, instruction_version=version, content={"messages": []})
    assert kinds(task, bob, "Two.") == ["length"]  # the version that the draft was begun under
    assert newer.pk > version.pk


def test_each_check_can_be_left_out(project, task, bob) -> None:
    text = f"As an AI language model, I say: {MAIL} And then write to"
    text = f"{text} her, because"
    assert kinds(task, bob, text) == ["personal", "chatbot", "unfinished"]
    project.checks_off = ["personal", "unfinished"]
    project.save()
    task.refresh_from_db()
    assert kinds(task, bob, text) == ["chatbot"]


def test_what_the_given_prompt_says_may_be_said_again(project, bob) -> None:
    task = TaskFactory(project=project, messages=[{"role": "user", "content": f"Who is it? {MAIL}"}])
    assert kinds(task, bob, "It is jane.doe@gmail.com.") == []
    assert kinds(task, bob, "It is john.doe@gmail.com.") == ["personal"]


def test_gone_work_frees_its_fingerprints(project, task, bobs, rita) -> None:
    first = hand_in(TaskFactory(project=project), bobs, TEA)
    review_submission(submission=first, verdict=Verdict.REJECT, by=rita, comment="No.")
    assert kinds(task, bobs.user, TEA) == []


# through the pages


@pytest.fixture
def at_work(sign_in, bob, bobs, task):
    next_task(membership=bobs)
    return sign_in(bob)


@pytest.mark.parametrize("headers", [{}, {"HX-Request": "true"}])
def test_the_editor_shows_what_was_found_and_takes_the_reason(at_work, task, headers) -> None:
    address = f"/p/kitchen/write/{task.pk}/submit/"
    form = {"turn": [f"{MAIL}\n"], "idempotency_key": uuid.uuid4()}
    answer = at_work.post(address, form, headers=headers)
    assert answer.status_code == 422
    assert ("<html" in answer.text) is not bool(headers)
    assert "jane.doe@gmail.com</q>" in answer.text
    assert 'href="#turn-1"' in answer.text
    assert f"{MAIL}\n</textarea>" in answer.text
    assert Draft.objects.get().content["messages"][-1]["content"].startswith(MAIL)
    answer = at_work.post(
        address,
        form
        | {
            "override-personal": "It is <public>.",
            "turn": [f"As an AI, I say: {MAIL}"],
            "revision": answer.context["revision"],
        },
    )
    assert answer.status_code == 422  # a new finding; the reason given so far is still there
    assert ">\nIt is &lt;public&gt;.</textarea>" in answer.text
    assert 'name="override-chatbot"' in answer.text
    form |= {"override-personal": "It is <public>.", "revision": answer.context["revision"]}
    answer = at_work.post(address, form)
    assert answer.status_code == 302
    assert Submission.objects.get().findings[0]["reason"] == "It is <public>."


def test_a_system_message_is_found_in_its_own_field(sign_in, bob, bobs, project) -> None:
    task = next_task(membership=bobs)
    assert task is not None
    form = {"turn": ["Who helps?", "Ask her."], "system": f"You know: {MAIL}"}
    answer = sign_in(bob).post(f"/p/kitchen/write/{task.pk}/submit/", form)
    assert 'href="#system"' in answer.text


def test_only_who_may_see_the_other_text_gets_to_see_it(project, task, at_work, carols, sign_in, rita, bobs) -> None:
    hand_in(TaskFactory(project=project), carols, TEA)
    address = f"/p/kitchen/write/{task.pk}/submit/"
    form = {"turn": [TEA_TOO], "idempotency_key": uuid.uuid4()}
    answer = at_work.post(address, form)
    assert "Somebody has handed in nearly the same text." in answer.text
    assert "three minutes" not in answer.text
    assert "Open it in a new tab" not in answer.text
    at_work.post(address, form | {"override-duplicate": "There is one way to make tea."})
    submission = Submission.objects.get(task=task)
    page = sign_in(rita).get(f"/p/kitchen/review/{submission.pk}/").text
    assert "There is one way to make tea." in page
    assert "three minutes" in page


def test_my_work_says_nothing_of_it(at_work, task, bobs) -> None:
    hand_in(task, bobs, MAIL, **PERSONAL)
    assert "She is the public contact." not in at_work.get("/p/kitchen/work/").text


def test_own_near_duplicate_is_linked(project, task, at_work, bobs) -> None:
    hand_in(TaskFactory(project=project), bobs, TEA)
    answer = at_work.post(f"/p/kitchen/write/{task.pk}/submit/", {"turn": [TEA_TOO]})
    assert "You have handed in nearly the same text before." in answer.text
    assert 'href="/p/kitchen/work/?state=submitted"' in answer.text


def test_an_example_of_a_correction_leads_reviewers_to_its_case(project, task, rita, sign_in, member_of) -> None:
    case = CaseFactory(project=project)
    correct_case(case=case, text=TEA, by=rita)
    ritas = member_of(rita, project)
    next_task(membership=ritas)
    answer = sign_in(rita).post(f"/p/kitchen/write/{task.pk}/submit/", {"turn": [TEA_TOO]})
    assert f'href="/p/kitchen/cases/{case.pk}/"' in answer.text


def test_the_settings_leave_checks_out(sign_in, alice, project) -> None:
    page = sign_in(alice)
    settings = {"name": "Kitchen help", "description": "", "lease_minutes": 60, "checks_off": ["language", "length"]}
    form = page.get("/p/kitchen/settings/").context["form"]
    settings = {name: value for name, value in form.initial.items() if value is not None} | settings
    assert page.post("/p/kitchen/settings/", settings).status_code == 302
    project.refresh_from_db()
    assert project.checks_off == ["language", "length"]
    assert page.post("/p/kitchen/settings/", settings | {"checks_off": ["weather"]}).status_code == 422


def test_examples_made_by_hand_are_found_too(project, task, bob, rita) -> None:
    submission = SubmissionFactory(project=project)
    messages = [*submission.task.messages, {"role": "assistant", "content": TEA}]
    create_example(
        project=project,
        messages=messages,
        origin=submission,
        author=submission.author,
        accepted_by=rita,
        instruction_version=None,
    )
    assert kinds(task, bob, TEA) == ["duplicate"]
