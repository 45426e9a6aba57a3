from labeling.models.agreement import AgreementFigure, AgreementReport
from labeling.models.api_key import ApiKey
from labeling.models.bulk import BulkAction, BulkBatch
from labeling.models.case import (
    Case,
    CaseKey,
    CaseMerge,
    CaseReason,
    Correction,
    MachineDraft,
    PreferencePair,
    Probe,
    RegressionTest,
    Report,
)
from labeling.models.comparison import Comparison, ComparisonSkip, SecondReview, Vote, VoteDraft
from labeling.models.example import Example
from labeling.models.fingerprint import Fingerprint, FingerprintBand
from labeling.models.instructions import Acknowledgement, Illustration, InstructionVersion
from labeling.models.pay import ActiveTime, Rate
from labeling.models.people import Invitation, Membership, Project, User
from labeling.models.prompt_import import ExampleImport, PromptImport
from labeling.models.qualification import GoldCopy, GoldTask, Grade
from labeling.models.retraction import Retraction
from labeling.models.review import Comment, ReviewDraft
from labeling.models.tag import Tag
from labeling.models.webhook import Webhook, WebhookDelivery
from labeling.models.work import Draft, Review, Skip, Submission, Task

__all__ = [
    "Acknowledgement",
    "ActiveTime",
    "AgreementFigure",
    "AgreementReport",
    "ApiKey",
    "BulkAction",
    "BulkBatch",
    "Case",
    "CaseKey",
    "CaseMerge",
    "CaseReason",
    "Comment",
    "Comparison",
    "ComparisonSkip",
    "Correction",
    "Draft",
    "Example",
    "ExampleImport",
    "Fingerprint",
    "FingerprintBand",
    "GoldCopy",
    "GoldTask",
    "Grade",
    "Illustration",
    "InstructionVersion",
    "Invitation",
    "MachineDraft",
    "Membership",
    "PreferencePair",
    "Probe",
    "Project",
    "PromptImport",
    "Rate",
    "RegressionTest",
    "Report",
    "Retraction",
    "Review",
    "ReviewDraft",
    "SecondReview",
    "Skip",
    "Submission",
    "Tag",
    "Task",
    "User",
    "Vote",
    "VoteDraft",
    "Webhook",
    "WebhookDelivery",
]
