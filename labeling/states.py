"""The lives of a task, a submission and a case.

task        open ──► leased ──► done          open ◄──► retired
              ▲         │         │           open ──► done: handed in by somebody whose lease ran out
              ├─────────┤         │ expiry, release, skip, handed in by one of several people
              ├───────────────────┘ too few submissions stand: one was rejected or withdrawn
              │         ▼
              └────── aside ──► retired | done     three people skipped it: an admin looks at it

submission  submitted ──► accepted | rejected | withdrawn
              ▲ │
              │ └──► returned ──► revised (a later revision took its place) | withdrawn
              └───── accepted, returned or rejected: the reviewer undid it before anybody built on it

            submitted ──► graded   (an answer to a gold task: it is graded instead of reviewed)

case        open ──► claimed ──► corrected ──► in_training ──► fixed | not_fixed
              ▲         │  │         ▲              │                      │
              └─────────┘  └─► dismissed            └─► corrected          └──► claimed
              release                          (the job failed)

            dismissed ──► open                        (somebody took the dismissal back)
            open | claimed | corrected | not_fixed ──► merged ──► open | corrected | not_fixed

comparison  open ──► decided ──► retired     open ──► set_aside (skipped by three) ──► open | retired      open ──► retired
"""

from django.db.models import IntegerChoices, TextChoices
from django.utils.translation import gettext_lazy as _


class Role(TextChoices):
    CONTRACTOR = "contractor", _("Contractor")
    REVIEWER = "reviewer", _("Reviewer")
    ADMIN = "admin", _("Admin")


ROLE_RANK = {Role.CONTRACTOR: 0, Role.REVIEWER: 1, Role.ADMIN: 2}


class RateUnit(TextChoices):
    PIECE = "piece", _("per accepted piece")
    HOUR = "hour", _("per active hour")


class TaskKind(TextChoices):
    ANSWER = "answer", _("Answer a prompt")
    WRITE = "write", _("Write a prompt and its ideal response")


class TaskState(TextChoices):
    OPEN = "open", _("Open")
    LEASED = "leased", _("In work")
    DONE = "done", _("Done")
    ASIDE = "aside", _("Needs a look")
    RETIRED = "retired", _("Retired")


TASK_MOVES = {
    TaskState.OPEN: {TaskState.LEASED, TaskState.DONE, TaskState.RETIRED},
    TaskState.LEASED: {TaskState.OPEN, TaskState.DONE, TaskState.ASIDE},
    TaskState.ASIDE: {TaskState.OPEN, TaskState.DONE, TaskState.RETIRED},
    TaskState.DONE: {TaskState.OPEN},
    TaskState.RETIRED: {TaskState.OPEN},
}


class PromptImportState(TextChoices):
    """A file of prompts on its way into the queue.

    uploaded ──► checking ──► ready ──► importing ──► done
       ▲            │                       │           │
       └─ failed ◄──┴───────────────────────┘           ▼
    cancelled from any of these but done          undoing ──► undone   (from cancelled too)
    """

    UPLOADED = "uploaded", _("Uploaded")
    CHECKING = "checking", _("Being read")
    READY = "ready", _("Ready")
    IMPORTING = "importing", _("Being imported")
    DONE = "done", _("Done")
    FAILED = "failed", _("Failed")
    CANCELLED = "cancelled", _("Cancelled")
    UNDOING = "undoing", _("Being undone")
    UNDONE = "undone", _("Undone")


PROMPT_IMPORT_MOVES = {
    PromptImportState.UPLOADED: {PromptImportState.CHECKING, PromptImportState.CANCELLED},
    PromptImportState.CHECKING: {PromptImportState.READY, PromptImportState.FAILED, PromptImportState.CANCELLED},
    PromptImportState.READY: {PromptImportState.IMPORTING, PromptImportState.CANCELLED},
    PromptImportState.IMPORTING: {PromptImportState.DONE, PromptImportState.FAILED, PromptImportState.CANCELLED},
    PromptImportState.FAILED: {PromptImportState.UPLOADED, PromptImportState.CANCELLED},
    PromptImportState.DONE: {PromptImportState.UNDOING},
    PromptImportState.CANCELLED: {PromptImportState.UNDOING},
    PromptImportState.UNDOING: {PromptImportState.UNDONE},
}
# A worker is at one of these, or should be.
PROMPT_IMPORT_AT_WORK = (
    PromptImportState.UPLOADED,
    PromptImportState.CHECKING,
    PromptImportState.IMPORTING,
    PromptImportState.UNDOING,
)


class BulkState(TextChoices):
    """One thing done to many rows.

    running ──► done ──► undoing ──► undone
       └──► stopped ──────┘
    """

    RUNNING = "running", _("Being done")
    DONE = "done", _("Done")
    STOPPED = "stopped", _("Stopped")
    UNDOING = "undoing", _("Being undone")
    UNDONE = "undone", _("Undone")


BULK_MOVES = {
    BulkState.RUNNING: {BulkState.DONE, BulkState.STOPPED},
    BulkState.DONE: {BulkState.UNDOING},
    BulkState.STOPPED: {BulkState.UNDOING},
    BulkState.UNDOING: {BulkState.UNDONE},
}
BULK_AT_WORK = (BulkState.RUNNING, BulkState.UNDOING)


class SkipReason(TextChoices):
    CANNOT_JUDGE = "cannot_judge", _("I cannot judge this")
    LANGUAGE = "language", _("It is not in my language")
    UNCLEAR = "unclear", _("The prompt is unclear")
    HARMFUL = "harmful", _("Harmful or personal content")
    OTHER = "other", _("Something else")


class SubmissionState(TextChoices):
    SUBMITTED = "submitted", _("Waiting for review")
    ACCEPTED = "accepted", _("Accepted")
    RETURNED = "returned", _("Sent back")
    REVISED = "revised", _("Revised")
    REJECTED = "rejected", _("Rejected")
    WITHDRAWN = "withdrawn", _("Withdrawn")
    GRADED = "graded", _("Graded")


SUBMISSION_MOVES = {
    SubmissionState.SUBMITTED: {
        SubmissionState.ACCEPTED,
        SubmissionState.RETURNED,
        SubmissionState.REJECTED,
        SubmissionState.WITHDRAWN,
        SubmissionState.GRADED,
    },
    SubmissionState.RETURNED: {SubmissionState.REVISED, SubmissionState.WITHDRAWN, SubmissionState.SUBMITTED},
    # submitted: its reviewer undoes the decision; revised: an admin reopens it after a second review that disagrees
    SubmissionState.ACCEPTED: {SubmissionState.SUBMITTED, SubmissionState.REVISED},
    SubmissionState.REJECTED: {SubmissionState.SUBMITTED, SubmissionState.REVISED},
}


class Qualification(TextChoices):
    """Whether a contractor may do ordinary work.

    not_needed ◄──► in_progress ──► qualified
                      ▲    │
                      └────┴──► failed        (an admin may set any of them)
    """

    NOT_NEEDED = "not_needed", _("Not needed")
    IN_PROGRESS = "in_progress", _("In progress")
    QUALIFIED = "qualified", _("Qualified")
    FAILED = "failed", _("Not passed")


class Verdict(TextChoices):
    ACCEPT = "accept", _("Accept")
    EDIT = "edit", _("Edit and accept")
    SEND_BACK = "send_back", _("Send back")
    REJECT = "reject", _("Reject")


class RejectReason(TextChoices):
    WRONG = "wrong", _("Wrong or made up")
    OFF_INSTRUCTION = "off_instruction", _("Against the instructions")
    OFF_PROMPT = "off_prompt", _("Does not answer the prompt")
    NOT_OWN = "not_own", _("Pasted, not written by the author")
    DUPLICATE = "duplicate", _("There is one like it already")
    HARMFUL = "harmful", _("Harmful")
    OTHER = "other", _("Other")


class CaseState(TextChoices):
    OPEN = "open", _("Open")
    CLAIMED = "claimed", _("Claimed")
    CORRECTED = "corrected", _("Corrected")
    IN_TRAINING = "in_training", _("In training")
    FIXED = "fixed", _("Fixed")
    NOT_FIXED = "not_fixed", _("Not fixed")
    DISMISSED = "dismissed", _("Dismissed")
    MERGED = "merged", _("Merged")


CASE_MOVES = {
    CaseState.OPEN: {CaseState.CLAIMED, CaseState.DISMISSED, CaseState.MERGED},
    CaseState.CLAIMED: {CaseState.OPEN, CaseState.CORRECTED, CaseState.DISMISSED, CaseState.MERGED},
    CaseState.CORRECTED: {CaseState.IN_TRAINING, CaseState.MERGED},
    CaseState.IN_TRAINING: {CaseState.FIXED, CaseState.NOT_FIXED, CaseState.CORRECTED},
    CaseState.NOT_FIXED: {CaseState.CLAIMED, CaseState.IN_TRAINING, CaseState.MERGED},
    CaseState.FIXED: {CaseState.NOT_FIXED},
    CaseState.DISMISSED: {CaseState.OPEN},
    CaseState.MERGED: {CaseState.OPEN, CaseState.CORRECTED, CaseState.NOT_FIXED},
}
# These wait for a correction.
CASE_CORRECTABLE = (CaseState.OPEN, CaseState.CLAIMED, CaseState.NOT_FIXED)
# Reports on the same output join a case in one of these; a later report opens a new case.
CASE_LIVE = (
    CaseState.OPEN,
    CaseState.CLAIMED,
    CaseState.CORRECTED,
    CaseState.IN_TRAINING,
    CaseState.NOT_FIXED,
)
# These can be merged with another one. What is being trained now has to come back first.
CASE_MERGEABLE = (CaseState.OPEN, CaseState.CLAIMED, CaseState.CORRECTED, CaseState.NOT_FIXED)


class Severity(IntegerChoices):
    MINOR = 1, _("Minor")
    WRONG = 2, _("Wrong")
    HARMFUL = 3, _("Harmful")


class Reason(TextChoices):
    WRONG = "wrong", _("Wrong")
    HARMFUL = "harmful", _("Harmful")
    UNHELPFUL = "unhelpful", _("Unhelpful")
    OFF_INSTRUCTION = "off_instruction", _("Against the instructions")
    STYLE = "style", _("Style")
    REFUSED = "refused", _("Refused without need")
    OTHER = "other", _("Other")


class Source(TextChoices):
    CHAT = "chat", _("Chat")
    IMPORT = "import", _("Import")
    API = "api", _("API")
    DETECTOR = "detector", _("Detector")
    TEST = "test", _("Failed test")
    SAMPLE = "sample", _("Sample")


class ExampleKind(TextChoices):
    DEMONSTRATION = "demonstration", _("Demonstration")
    CORRECTION = "correction", _("Correction")


class CheckKind(TextChoices):
    CONTAINS = "contains", _("contains")
    EXCLUDES = "excludes", _("does not contain")
    MATCHES = "matches", _("matches the pattern")
    MAX_WORDS = "max_words", _("has at most so many words")
    JSON = "json", _("is valid JSON")


class Scope(TextChoices):
    """What a program may do with an API key."""

    FILES = "files", _("Files")
    JOBS = "jobs", _("Fine-tuning")
    INFERENCE = "inference", _("Answers")
    FEEDBACK = "feedback", _("Feedback")
    LABELING = "labeling", _("Labeling")


class ComparisonState(TextChoices):
    OPEN = "open", _("Open")
    DECIDED = "decided", _("Decided")
    SET_ASIDE = "set_aside", _("Set aside")
    RETIRED = "retired", _("Retired")


COMPARISON_MOVES = {
    ComparisonState.OPEN: {ComparisonState.DECIDED, ComparisonState.SET_ASIDE, ComparisonState.RETIRED},
    ComparisonState.SET_ASIDE: {ComparisonState.OPEN, ComparisonState.RETIRED},
    ComparisonState.DECIDED: {ComparisonState.RETIRED},
}


class ComparisonSource(TextChoices):
    IMPORT = "import", _("Import")
    SUBMISSIONS = "submissions", _("Double submissions")
    EVALUATION = "evaluation", _("Evaluation")


class VoteChoice(TextChoices):
    """What a person can say of two answers, in the places where they saw them."""

    FIRST_CLEARLY = "first_clearly", _("First, clearly")
    FIRST_SLIGHTLY = "first_slightly", _("First, slightly")
    SAME = "same", _("The same")
    SECOND_SLIGHTLY = "second_slightly", _("Second, slightly")
    SECOND_CLEARLY = "second_clearly", _("Second, clearly")
    BOTH_BAD = "both_bad", _("Both bad")


class ComparisonOutcome(TextChoices):
    A = "a", _("A is better")
    B = "b", _("B is better")
    SAME = "same", _("The same")
    BOTH_BAD = "both_bad", _("Both bad")
    SPLIT = "split", _("No majority")


class Settlement(TextChoices):
    """What an admin did where two reviewers disagree."""

    KEPT = "kept", _("First verdict kept")
    REOPENED = "reopened", _("Reopened")


class Measure(TextChoices):
    """The judgements whose agreement is measured."""

    ACCEPT = "accept", _("Accept or not")
    COMPARISON = "comparison", _("Comparisons")
    HELPFUL = "helpful", _("Helpful")
    TRUTHFUL = "truthful", _("Truthful")
    HARMLESS = "harmless", _("Harmless")
    FOLLOWS = "follows", _("Follows the instructions")


class FindingKind(TextChoices):
    """What is looked for in a text when it is handed in."""

    DUPLICATE = "duplicate", _("Nearly the same text exists")
    PERSONAL = "personal", _("Personal data")
    CHATBOT = "chatbot", _("A chatbot's words")
    LANGUAGE = "language", _("Another language")
    UNFINISHED = "unfinished", _("Unfinished")
    LENGTH = "length", _("Length")


class WebhookEvent(TextChoices):
    """What another product can be told about."""

    SUBMISSION_ACCEPTED = "submission.accepted", _("A submission was accepted")
    CASE_OPENED = "case.opened", _("A case was opened")
    CASE_FIXED = "case.fixed", _("A case was fixed")
    MODEL_DEPLOYED = "model.deployed", _("A model was deployed")
    CANDIDATE_CHANGED = "candidate.changed", _("A candidate came a step further, or was withdrawn")
    ALERT_BEGAN = "alert.began", _("An alert began")
    ALERT_ENDED = "alert.ended", _("An alert ended")


TEST_EVENT = "webhook.test"


class DeliveryState(TextChoices):
    PENDING = "pending", _("Waiting")
    DELIVERED = "delivered", _("Delivered")
    FAILED = "failed", _("Given up")
