"""Submissions and what is said about them; reviews."""

import uuid
from typing import Any

from rest_framework import serializers

from common.exports import download
from labeling.actions.activity import record_activity
from labeling.actions.export import export_submissions
from labeling.actions.review import release_submission, review_submission, take_submission
from labeling.actions.submission import revise, submit, withdraw
from labeling.actions.thread import Passage, add_comment, conversation_about
from labeling.actions.undo import undo_review
from labeling.api.criteria import RowsAsked, found
from labeling.api.endpoint import Call, operation
from labeling.api.shapes import LONGEST_TEXT, CommentShape, ReviewShape, SubmissionShape, Turn
from labeling.api.task import find_task
from labeling.models import Comment, Review, Submission
from labeling.states import RejectReason, Role, SubmissionState, Verdict

WITH = ("author", "review__reviewer", "instruction_version", "task", "project")


class SubmissionsAsked(RowsAsked):
    state = serializers.ChoiceField(required=False, choices=SubmissionState.choices)
    author = serializers.IntegerField(required=False, min_value=1, max_value=2**63 - 1)
    task = serializers.IntegerField(required=False, min_value=1, max_value=2**63 - 1)


class TextAsked(serializers.Serializer):
    messages = Turn(many=True, help_text="the whole conversation, the prompt in front")
    idempotency_key = serializers.UUIDField(required=False, help_text="the same key and text again make no second row")
    overrides = serializers.DictField(
        child=serializers.CharField(max_length=500),
        required=False,
        help_text="of each kind of finding, why the text is right as it is",
    )


class CommentAsked(serializers.Serializer):
    text = serializers.CharField(max_length=LONGEST_TEXT)


class PassageAsked(serializers.Serializer):
    text = serializers.CharField(max_length=LONGEST_TEXT)
    turn = serializers.IntegerField(required=False, min_value=0, max_value=100_000)
    quote = serializers.CharField(required=False, allow_blank=True, trim_whitespace=False, max_length=LONGEST_TEXT)
    start = serializers.IntegerField(required=False, min_value=0, max_value=LONGEST_TEXT)


class DecisionAsked(serializers.Serializer):
    verdict = serializers.ChoiceField(choices=Verdict.choices)
    comment = serializers.CharField(required=False, allow_blank=True, max_length=LONGEST_TEXT)
    messages = Turn(many=True, required=False, help_text="the edited conversation of edit and accept")
    reason = serializers.ChoiceField(required=False, choices=RejectReason.choices, help_text="of a rejection")
    passages = PassageAsked(many=True, required=False)


class ExportAsked(serializers.Serializer):
    kind = serializers.ChoiceField(choices=[("csv", "csv"), ("jsonl", "jsonl")], required=False, default="jsonl")


class NextSubmission(serializers.Serializer):
    submission = SubmissionShape(allow_null=True, help_text="null when nothing waits")


def find_submission(call: Call, pk: int) -> Submission:
    return call.find(Submission.objects.visible_to(call.membership).select_related(*WITH), pk=pk)


@operation(query=SubmissionsAsked, answer=SubmissionShape, is_list=True)
def submission_list(call: Call) -> dict[str, Any]:
    """List submissions, the newest first: contractors their own, reviewers all."""
    rows = found(call, "submissions").select_related(*WITH)
    wanted = {name: call.query[name] for name in ("state", "author", "task") if name in call.query}
    return call.page(rows.filter(**wanted))


@operation(answer=SubmissionShape)
def submission_show(call: Call, pk: int) -> Submission:
    """Show one submission."""
    return find_submission(call, pk)


@operation(body=TextAsked, answer=SubmissionShape, status=201, allows_paused=True)
def submission_create(call: Call, pk: int) -> Submission:
    """Hand in a text for a task."""
    record_activity(membership=call.membership)
    key = call.body.get("idempotency_key") or uuid.uuid4()
    task = find_task(call, pk)
    return submit(
        task=task,
        membership=call.membership,
        messages=call.body["messages"],
        idempotency_key=key,
        overrides=call.body.get("overrides"),
    )


@operation(body=TextAsked, answer=SubmissionShape, status=201)
def submission_revise(call: Call, pk: int) -> Submission:
    """Hand in the next revision of a text that was sent back."""
    key = call.body.get("idempotency_key") or uuid.uuid4()
    submission = find_submission(call, pk)
    return revise(
        submission=submission,
        messages=call.body["messages"],
        by=call.user,
        idempotency_key=key,
        overrides=call.body.get("overrides"),
    )


@operation(answer=SubmissionShape)
def submission_withdraw(call: Call, pk: int) -> Submission:
    """Take a text back that was not decided on."""
    submission = find_submission(call, pk)
    withdraw(submission=submission, by=call.user)
    return submission


@operation(Role.REVIEWER, query=ExportAsked, media=("application/jsonl", "text/csv"))
def submission_export(call: Call) -> Any:
    """Download all submissions as CSV or JSON Lines, oldest first."""
    kind = call.query["kind"]
    chunks = export_submissions(project=call.project, kind=kind)
    return download(chunks, name=f"{call.project.slug}-submissions.{kind}")


@operation(answer=CommentShape, is_list=True)
def comment_list(call: Call, pk: int) -> dict[str, Any]:
    """List what was said about a text and its other revisions."""
    submission = find_submission(call, pk)
    rows = conversation_about(submission)
    return call.page(rows.public() if submission.author_id == call.user.pk else rows)


@operation(body=CommentAsked, answer=CommentShape, status=201)
def comment_add(call: Call, pk: int) -> Comment:
    """Say something about a text."""
    return add_comment(submission=find_submission(call, pk), by=call.user, text=call.body["text"])


class ReviewNextAsked(serializers.Serializer):
    after = serializers.IntegerField(required=False, default=0, min_value=0, max_value=2**63 - 1)


@operation(Role.REVIEWER, body=ReviewNextAsked, answer=NextSubmission)
def review_next(call: Call) -> dict[str, Submission | None]:
    """Take the oldest text that waits for a review."""
    record_activity(membership=call.membership)
    return {"submission": take_submission(project=call.project, reviewer=call.user, after=call.body["after"])}


@operation(Role.REVIEWER, body=DecisionAsked, answer=ReviewShape, status=201)
def review_decide(call: Call, pk: int) -> Review:
    """Decide on a text."""
    record_activity(membership=call.membership)
    asked = dict(call.body)
    asked["passages"] = [Passage(**each) for each in asked.pop("passages", ())]
    asked["verdict"] = Verdict(asked["verdict"])
    if asked["verdict"] != Verdict.EDIT:
        asked.pop("messages", None)
    return review_submission(submission=find_submission(call, pk), by=call.user, **asked)


@operation(Role.REVIEWER)
def review_release(call: Call, pk: int) -> None:
    """Give a text back to the queue of reviews."""
    release_submission(submission=find_submission(call, pk), by=call.user)


@operation(Role.REVIEWER)
def review_undo(call: Call, pk: int) -> None:
    """Take one's own decision back."""
    undo_review(submission=find_submission(call, pk), by=call.user)
