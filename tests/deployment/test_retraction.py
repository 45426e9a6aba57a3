"""A contributor is retracted: what holds their work is listed, and what is frozen and trained next is without it."""

from io import StringIO
from pathlib import Path

import pytest
from django.core.management import CommandError, call_command
from django.urls import reverse

from deployment.actions.release import deploy_model, ensure_deployment
from deployment.queries.lineage import deployments_with, retracted_in_live
from labeling.actions.case import correct_case
from labeling.actions.comparison import create_comparison, first_side, vote
from labeling.actions.retraction import retract_example, retract_person, undo_retraction
from labeling.models import Example, Retraction
from labeling.states import ComparisonSource, SubmissionState, VoteChoice
from tests.factories import CaseFactory, ExampleFactory, JobFactory, SubmissionFactory, TunedModelFactory
from training.actions.composition import Composition
from training.actions.dataset import freeze_dataset
from training.actions.evaluation import request_evaluation
from training.actions.retraining import retrain_without_retracted
from training.models import Job, TunedModel
from training.queries.lineage import retracted_counts_of_models, texts_of_person, uses_of
from training.states import RowKind

BOBS = ["Bob answers in the kitchen.", "Bob corrects the stove.", "Bob asks it in other words?", "Bob's other answer."]
RITAS = "Rita answers in the garden."


def ask(text):
    return [{"role": "user", "content": text}]


def demonstrate(project, author, question, answer):
    messages = [*ask(question), {"role": "assistant", "content": answer}]
    return ExampleFactory(project=project, submission__author=author, submission__messages=messages)


@pytest.fixture
def taught(project, bob, rita, alice, base_model) -> TunedModel:
    """A live model that learnt from Bob and from Rita."""
    demonstrate(project, rita, "Where do you answer?", RITAS)
    demonstrate(project, bob, "Where do you cook?", BOBS[0])
    correct_case(case=CaseFactory(project=project), text=BOBS[1], by=bob, probes=[BOBS[2]])
    question = ask("Which answer is better?")
    theirs = SubmissionFactory(
        project=project,
        author=bob,
        state=SubmissionState.ACCEPTED,
        messages=[*question, {"role": "assistant", "content": BOBS[3]}],
    )
    row = create_comparison(
        project=project,
        messages=question,
        answers=("A machine's answer.", BOBS[3]),
        source=ComparisonSource.IMPORT,
        submissions=(None, theirs),  # type: ignore[arg-type]
    )
    place = "first" if first_side(row, rita) == "a" else "second"
    vote(comparison=row, membership=project.memberships.get(user=rita), choice=VoteChoice(f"{place}_clearly"))
    return train(project, alice, base_model)


def train(project, by, base_model, **more) -> TunedModel:
    version = freeze_dataset(project=project, by=by, composition=Composition(kinds=tuple(RowKind.values)))
    settings = {"n_epochs": 3, "learning_rate_multiplier": 0.5, "batch_size": 4, "lora_rank": 8}
    job = JobFactory(
        project=project,
        dataset_version=version,
        base_model=base_model,
        state="succeeded",
        suffix="kitchen",
        seed=7,
        hyperparameters=settings,
        **more,
    )
    model = TunedModelFactory(project=project, job=job)
    deployment = ensure_deployment(project=project)
    deploy_model(deployment=deployment, model=model, by=by, reason="It is better.")
    return model


def written(folder: Path) -> str:
    """Everything that lies in the folder, as text."""
    return "".join(path.read_text() for path in sorted(folder.rglob("*")) if path.is_file())


def frozen(job: Job) -> str:
    """Everything that the rows of the job's version say, as text."""
    return str(list(job.dataset_version.rows.values_list("messages", "rejected")))


def test_the_next_version_and_job_and_evaluation_are_without_the_persons_texts(
    project, bob, alice, taught, settings
) -> None:
    before = uses_of(project, texts_of_person(project, bob))
    assert [use.version.number for use in before.versions] == [1]
    retract_person(project=project, person=bob, by=alice, reason="Asked for it.")
    job = retrain_without_retracted(model=taught, by=alice)
    evaluation = request_evaluation(project=project, base_model=taught.base_model)
    for folder in (job.run_dir, evaluation.run_dir):
        files = written(folder)
        assert files
        assert [text for text in BOBS if text in files] == []
    assert RITAS in written(job.run_dir)
    assert [text for text in BOBS if text in frozen(job)] == []
    assert job.dataset_version.number == 2
    assert job.dataset_version.pk not in texts_of_person(project, bob).counts(project)
    former = taught.job
    for name in ("base_model", "suffix", "seed", "hyperparameters", "method"):
        assert getattr(job, name) == getattr(former, name)


def test_without_the_retraction_the_files_have_the_texts(project, bob, alice, taught) -> None:
    job = retrain_without_retracted(model=taught, by=alice)
    evaluation = request_evaluation(project=project, base_model=taught.base_model)
    files = written(job.run_dir) + written(evaluation.run_dir)
    assert all(text in files for text in BOBS[:3])
    assert BOBS[3] in frozen(job)  # a pair, which jobs of the method SFT do not read


def test_versions_models_and_deployments_are_marked_by_what_they_hold(project, bob, alice, taught) -> None:
    heir = train(project, alice, taught.base_model, parent=taught)
    assert retracted_counts_of_models(project) == {}
    done = retract_person(project=project, person=bob, by=alice, reason="Asked for it.")
    n = 3  # two examples and a pair
    uses = uses_of(project, texts_of_person(project, bob))
    assert [(use.model, use.n_rows, use.n_inherited) for use in uses.models] == [(heir, n, n), (taught, n, 0)]
    assert [(use.model, use.is_live) for use in deployments_with(uses.models)] == [(heir, True), (taught, False)]
    assert retracted_counts_of_models(project) == {taught.pk: n, heir.pk: 2 * n}
    assert retracted_in_live(project) == {ensure_deployment(project=project).pk: 2 * n}
    undo_retraction(retraction=done, by=alice)
    assert retracted_counts_of_models(project) == {}
    assert retracted_in_live(project) == {}


def test_a_model_that_goes_on_from_one_with_the_texts_has_learnt_them(project, bob, alice, taught, base_model) -> None:
    retract_person(project=project, person=bob, by=alice, reason="Asked for it.")
    demonstrate(project, alice, "What is new?", "Nothing much.")
    heir = train(project, alice, base_model, parent=taught)
    assert retracted_counts_of_models(project)[heir.pk] == 3
    assert retrain_without_retracted(model=heir, by=alice).parent is None


class TestCommand:
    def run(self, *args: str) -> str:
        out = StringIO()
        call_command("retract", "--project", "kitchen", *args, stdout=out)
        return out.getvalue()

    def test_it_lists_retracts_and_trains_anew(self, project, bob, taught) -> None:
        told = self.run("--person", "bob@example.org", "--dry-run")
        assert "version v1: 3 rows" in told
        assert f"model {taught.name}: 3 rows" in told
        assert f"deployment assistant: {taught.name}, live, 3 rows" in told
        assert not Retraction.objects.exists()
        told = self.run("--person", "bob@example.org", "--by", "alice@example.org", "--reason", "Left", "--retrain")
        job = Job.objects.latest("pk")
        assert f"job {job.key}: trains {taught.name} anew on v2" in told
        row = Retraction.objects.get()
        assert (row.by.name, row.reason, row.person) == ("Alice", "Left", bob)
        assert BOBS[0] not in written(job.run_dir)
        assert "All of it is out already." in self.run("--person", "bob@example.org")

    def test_one_example(self, project, bob, taught) -> None:
        example = Example.objects.filter(author=bob).first()
        assert "version v1: 1 rows" in self.run("--example", str(example.pk))
        assert list(Example.objects.retracted()) == [example]

    @pytest.mark.parametrize(
        ("args", "problem"),
        [
            (("--person", "nobody@example.org"), "Nobody has the address"),
            (("--example", "999999"), "has no example"),
            (("--person", "bob@example.org", "--by", "x@example.org"), "Nobody has the address x"),
        ],
    )
    def test_nonsense_changes_nothing(self, project, bob, args, problem) -> None:
        with pytest.raises(CommandError, match=problem):
            self.run(*args)
        assert not Retraction.objects.exists()


class TestPages:
    def url(self, name: str, *args: int) -> str:
        return reverse(f"deployment-{name}", args=["kitchen", *args])

    def test_the_persons_page_asks_for_the_name(self, sign_in, project, alice, bob, taught) -> None:
        client = sign_in(alice)
        address = self.url("retraction-person", project.memberships.get(user=bob).pk)
        page = client.get(address)
        assert (page.context["n_examples"], page.context["n_pairs"]) == (2, 1)
        assert taught.name in page.text
        wrong = client.post(address, {"reason": "Asked", "name": "Rob"})
        assert (wrong.status_code, "This is not the name: Bob." in wrong.text) == (422, True)
        assert not Retraction.objects.exists()
        done = client.post(address, {"reason": "Asked", "name": " Bob "}, follow=True)
        assert done.context["n_examples"] == 2
        assert "Train again without them" in done.text
        assert "holds retracted rows" in done.text
        assert "contains 3 retracted rows" in client.get(reverse("training-dataset-list", args=["kitchen"])).text
        assert "contains 3 retracted rows" in client.get(reverse("training-model-list", args=["kitchen"])).text
        assert "contains 3 retracted rows" in client.get(self.url("release-show")).text
        assert "Nothing of this person" in client.get(address).text

    def test_a_button_trains_anew_and_another_takes_it_back(self, sign_in, project, alice, bob, taught) -> None:
        row = retract_person(project=project, person=bob, by=alice, reason="Asked")
        client = sign_in(alice)
        assert "all work of Bob" in client.get(self.url("retraction-list")).text
        refused = client.post(self.url("retraction-retrain", row.pk), {"model": "0"}, follow=True)
        assert "Choose a model of this project." in refused.text
        started = client.post(self.url("retraction-retrain", row.pk), {"model": taught.pk})
        assert started["Location"] == reverse("training-job-show", args=["kitchen", Job.objects.latest("pk").key])
        assert "holds no retracted row" in client.get(self.url("retraction-show", row.pk)).text
        undone = client.post(self.url("retraction-undo", row.pk), follow=True)
        assert "2 examples are in use again." in undone.text
        assert "Train again without them" not in undone.text
        assert "That is not possible now." in client.post(self.url("retraction-undo", row.pk), follow=True).text

    def test_a_piece_says_where_a_text_went(self, sign_in, project, rita, bob, alice, taught) -> None:
        client = sign_in(rita)
        example = Example.objects.get(correction__author=bob)
        case = example.correction.case
        page = client.get(self.url("lineage-show"), {"case": case.pk}, HTTP_HX_REQUEST="true")
        assert "<html" not in page.text
        assert taught.name in page.text
        retract_example(example=example, by=alice, reason="It was wrong.")
        for subject in ({"case": case.pk}, {"example": example.pk}):
            assert "It was wrong." in client.get(self.url("lineage-show"), subject).text
        waiting = SubmissionFactory(project=project)
        assert "No example was made of it" in client.get(self.url("lineage-show"), {"submission": waiting.pk}).text
        assert client.get(self.url("lineage-show"), {"case": CaseFactory().pk}).status_code == 404

    def test_what_a_model_is_made_of(self, sign_in, project, alice, bob, taught) -> None:
        heir = train(project, alice, taught.base_model, parent=taught)
        retract_person(project=project, person=bob, by=alice, reason="Asked")
        page = sign_in(alice).get(reverse("training-model-lineage", args=["kitchen", heir.pk]))
        assert page.context["ancestors"] == [taught]
        assert "contains 6 retracted rows" in page.text
        assert "Rita" in page.text


class TestInterface:
    def test_a_person_is_retracted_trained_without_and_taken_back(self, sign_in, project, alice, bob, taught) -> None:
        client = sign_in(alice)
        place = "/api/v1/p/kitchen/"
        member = project.memberships.get(user=bob).pk
        before = client.get(f"{place}people/{member}/lineage/").json()
        assert before["versions"] == [{"version": 1, "n_rows": 3}]
        assert before["jobs"] == [taught.job.key]
        assert [(use["model"], use["is_live"]) for use in before["deployments"]] == [(taught.name, True)]

        def post(address: str, **body: str):
            return client.post(f"{place}{address}", body, content_type="application/json")

        made = post(f"people/{member}/retract/", reason="Asked")
        assert made.status_code == 201
        found = made.json()
        pk = found["retraction"]["id"]
        assert (found["n_examples"], found["n_pairs"], found["n_tests"]) == (2, 2, 1)
        assert found["held_by"] == before
        assert post(f"people/{member}/retract/", reason="Again").status_code == 409
        assert post(f"retractions/{pk}/retrain/", model="nobody").status_code == 422
        job = post(f"retractions/{pk}/retrain/", model=taught.name).json()
        assert job == {"job": Job.objects.latest("pk").key, "version": 2}
        assert post(f"retractions/{pk}/undo/").json()["retraction"]["undone_by"]["name"] == "Alice"
        assert [row["id"] for row in client.get(f"{place}retractions/").json()["items"]] == [pk]
        assert client.get(f"{place}retractions/{pk}/").json()["held_by"]["versions"][0]["version"] == 1

    def test_where_a_text_went(self, sign_in, rita, bob, taught) -> None:
        client = sign_in(rita)
        case = Example.objects.get(correction__author=bob).correction.case
        found = client.get("/api/v1/p/kitchen/lineage/", {"case": case.pk}).json()
        assert found["models"] == [{"model": taught.name, "n_rows": 1, "n_inherited": 0, "is_deleted": False}]
        assert client.get("/api/v1/p/kitchen/lineage/", {"case": case.pk, "example": 1}).status_code == 422
        assert client.get("/api/v1/p/kitchen/lineage/", {"example": 10**6}).json()["versions"] == []
