"""Rows for tests. Each factory makes the least that its row needs."""

import factory

from common.conversations import digest
from labeling.models import (
    Case,
    Comparison,
    Correction,
    Example,
    InstructionVersion,
    Membership,
    Project,
    Review,
    SecondReview,
    Submission,
    Task,
    User,
)
from labeling.states import ComparisonSource, ExampleKind, Role, SubmissionState, TaskState, Verdict
from training.models import BaseModel, DatasetVersion, Job, TunedModel


class UserFactory(factory.django.DjangoModelFactory):
    class Meta:
        model = User

    name = factory.Sequence(lambda n: f"Person {n}")
    email = factory.LazyAttribute(lambda user: f"{user.name.lower().replace(' ', '.')}@example.org")
    password = factory.django.Password("correct horse battery")


class ProjectFactory(factory.django.DjangoModelFactory):
    class Meta:
        model = Project

    name = factory.Sequence(lambda n: f"Project {n}")
    slug = factory.Sequence(lambda n: f"project-{n}")


class MembershipFactory(factory.django.DjangoModelFactory):
    class Meta:
        model = Membership

    project = factory.SubFactory(ProjectFactory)
    user = factory.SubFactory(UserFactory)
    role = Role.CONTRACTOR


class InstructionVersionFactory(factory.django.DjangoModelFactory):
    class Meta:
        model = InstructionVersion

    project = factory.SubFactory(ProjectFactory)
    number = 1
    text = "Answer in plain words."


class TaskFactory(factory.django.DjangoModelFactory):
    class Meta:
        model = Task

    project = factory.SubFactory(ProjectFactory)
    messages = factory.Sequence(lambda n: [{"role": "user", "content": f"What is {n} plus one?"}])
    prompt_hash = factory.LazyAttribute(lambda task: digest(task.messages))


class SubmissionFactory(factory.django.DjangoModelFactory):
    class Meta:
        model = Submission

    project = factory.SubFactory(ProjectFactory)
    author = factory.SubFactory(UserFactory)
    task = factory.SubFactory(TaskFactory, project=factory.SelfAttribute("..project"), state=TaskState.DONE)
    messages = factory.LazyAttribute(
        lambda submission: [*submission.task.messages, {"role": "assistant", "content": "One more than before."}]
    )
    state = SubmissionState.SUBMITTED


class ReviewFactory(factory.django.DjangoModelFactory):
    class Meta:
        model = Review

    submission = factory.SubFactory(SubmissionFactory)
    reviewer = factory.SubFactory(UserFactory)
    verdict = Verdict.ACCEPT


class CaseFactory(factory.django.DjangoModelFactory):
    class Meta:
        model = Case

    project = factory.SubFactory(ProjectFactory)
    messages = factory.Sequence(lambda n: [{"role": "user", "content": f"Who wrote book number {n}?"}])
    wrong_output = "Nobody knows."
    prompt_hash = factory.LazyAttribute(lambda case: digest(case.messages))
    output_hash = factory.LazyAttribute(lambda case: digest(case.wrong_output))
    model_name = "smollm2-135m-instruct"


class CorrectionFactory(factory.django.DjangoModelFactory):
    class Meta:
        model = Correction

    case = factory.SubFactory(CaseFactory)
    author = factory.SubFactory(UserFactory)
    text = "Its author is on the cover."


class ExampleFactory(factory.django.DjangoModelFactory):
    """A demonstration, with its submission."""

    class Meta:
        model = Example

    project = factory.SubFactory(ProjectFactory)
    kind = ExampleKind.DEMONSTRATION
    submission = factory.SubFactory(
        SubmissionFactory, project=factory.SelfAttribute("..project"), state=SubmissionState.ACCEPTED
    )
    author = factory.SelfAttribute("submission.author")
    messages = factory.SelfAttribute("submission.messages")
    content_hash = factory.LazyAttribute(lambda example: digest(example.messages))
    prompt_hash = factory.LazyAttribute(lambda example: digest(example.messages[:-1]))


class ComparisonFactory(factory.django.DjangoModelFactory):
    class Meta:
        model = Comparison

    project = factory.SubFactory(ProjectFactory)
    messages = factory.Sequence(lambda n: [{"role": "user", "content": f"How far is star number {n}?"}])
    answer_a = "Very far away."
    answer_b = "Four light years."
    source = ComparisonSource.IMPORT
    prompt_hash = factory.LazyAttribute(lambda row: digest(row.messages))
    content_hash = factory.LazyAttribute(lambda row: digest([row.messages, *sorted((row.answer_a, row.answer_b))]))


class SecondReviewFactory(factory.django.DjangoModelFactory):
    """Drawn and not judged yet; its submission has been accepted."""

    class Meta:
        model = SecondReview

    submission = factory.SelfAttribute("review.submission")
    first = factory.SelfAttribute("review")

    class Params:
        review = factory.SubFactory(ReviewFactory, submission__state=SubmissionState.ACCEPTED)


class BaseModelFactory(factory.django.DjangoModelFactory):
    class Meta:
        model = BaseModel
        django_get_or_create = ("slug",)

    slug = "smollm2-135m-instruct"
    name = "SmolLM2 135M Instruct"
    location = "smollm2-135m-instruct"
    is_default = True


class DatasetVersionFactory(factory.django.DjangoModelFactory):
    class Meta:
        model = DatasetVersion

    project = factory.SubFactory(ProjectFactory)
    number = factory.Sequence(lambda n: n + 1)
    content_hash = factory.LazyAttribute(lambda version: digest([version.project.pk, version.number]))
    n_train = 8
    n_valid = 2


class JobFactory(factory.django.DjangoModelFactory):
    class Meta:
        model = Job

    project = factory.SubFactory(ProjectFactory)
    key = factory.Sequence(lambda n: f"ftjob-{n}")
    dataset_version = factory.SubFactory(DatasetVersionFactory, project=factory.SelfAttribute("..project"))
    base_model = factory.SubFactory(BaseModelFactory)


class TunedModelFactory(factory.django.DjangoModelFactory):
    class Meta:
        model = TunedModel
        skip_postgeneration_save = True

    project = factory.SubFactory(ProjectFactory)
    job = factory.SubFactory(JobFactory, project=factory.SelfAttribute("..project"))
    base_model = factory.SelfAttribute("job.base_model")
    name = factory.Sequence(lambda n: f"ft:smollm2-135m-instruct:emend:test:{n}")
    location = factory.LazyAttribute(lambda model: f"runs/{model.job.key}/model")

    @factory.post_generation
    def of_job(self, create: bool, extracted: object, **kwargs: object) -> None:
        """It is what its job ended with."""
        if self.job.tuned_model_id is None:
            self.job.tuned_model = self
            self.job.save(update_fields=["tuned_model"])
