"""What can go wrong in labeling. The text of an error is for people; code reads its class and fields."""

from typing import TYPE_CHECKING

from django.utils.translation import gettext_lazy as _

if TYPE_CHECKING:
    from django.utils.functional import _StrPromise

    from labeling.findings.finding import Finding
    from labeling.models import Case, Comparison, Draft, Example, InstructionVersion, Review, ReviewDraft, VoteDraft


class LabelingError(Exception):
    """An action that did not happen; nothing was changed.

    LabelingError
    ├── NotAllowed             the person may not do this to this row, now
    │   ├── LastAdmin          the project would be left without an admin
    │   ├── MustAcknowledge    a version of the instructions has to be read first (field `version`)
    │   ├── AlreadyHandedIn        the person's text for this task is waiting or accepted
    │   ├── Paused             the person's membership is paused (field `reason`)
    │   ├── NotQualified       gold tasks come first: they wait for grades, or were not passed
    │   ├── OwnWork            nobody reviews what they wrote themselves
    │   ├── NeedsAdmin         sent back too often: an admin decides
    │   ├── UndoTooLate        somebody has built on the decision
    │   ├── HeldByOther        somebody else works on the row
    │   └── AlreadyJudged      the person, or somebody else, gave this judgement before
    ├── SendBackLimit          one more send-back is for an admin to decide
    ├── InvitationError        field `reason`: unknown, used, expired, revoked, email
    ├── AlreadyMember          the person is in the project
    ├── StaleInstructions      another version was published in between (fields `current`, `based_on`)
    ├── BadHints               fewer words at most than at least
    ├── UnchangedInstructions  the text is that of the version in force
    ├── MissingChangeNote      readers of an earlier version have to be told what changed
    ├── LeaseLost              the task is no longer the person's; what they wrote is kept
    ├── StaleDraft             a later save is in the database (field `draft`)
    ├── StaleVoteDraft         the same for a comparison (field `draft`)
    ├── StaleReviewDraft       the same for what a reviewer types (field `draft`)
    ├── BadConversation        turns that cannot be handed in (field `code`, of common.conversations)
    ├── UnchangedText          a correction that equals the wrong output
    ├── BadCheck               a check that cannot be applied, or that the correction itself fails
    ├── BadProbe               a held-out prompt that is trained on, or the other way round (field `prompt`)
    ├── EmptyAnswer            there is no wrong output that could be corrected
    ├── NoReference            a gold task that nothing could be measured against
    ├── AlreadyGraded          this person's grade is there, or the work does not wait for one
    ├── CommentNeeded          a verdict that has to say why
    ├── AlreadyDecided         somebody else decided first (field `review`, None for a withdrawn submission)
    ├── NotCorrectable         the case is not open for a correction, any more or yet (field `case`)
    │   └── CorrectedMeanwhile     somebody corrected it after the person had opened it
    ├── NotMergeable           the two cases cannot become one, or the merge cannot be undone
    ├── NotAssignable          the person corrects no cases in this project
    ├── FileRefused            a file of prompts that cannot be taken
    ├── BadReason              a reason that the project does not have, or cannot have
    ├── UneditedDraft          a machine's draft that is to be accepted as it is, without a confirmation
    ├── BadComparison          two answers that cannot be compared
    ├── DuplicateComparison    the same prompt with the same two answers is there (field `existing`)
    ├── HasFindings            the text has to be changed or defended first (field `findings`)
    ├── BadAddress             a webhook that cannot be called
    └── DuplicateExample       the very same conversation is an example already (field `existing`)
    """

    message: "str | _StrPromise" = _("That did not work.")

    def __init__(self, message: "str | _StrPromise" = "") -> None:
        super().__init__(message or self.message)

    def __str__(self) -> str:
        return str(self.args[0])


class NotAllowed(LabelingError):
    message = _("That is not possible now.")


class LastAdmin(NotAllowed):
    message = _("A project needs at least one active admin. Make somebody else an admin first.")


class MustAcknowledge(NotAllowed):
    message = _("There is a new version of the instructions. Please read it before the next task.")

    def __init__(self, version: "InstructionVersion") -> None:
        super().__init__()
        self.version = version


class AlreadyHandedIn(NotAllowed):
    message = _(
        "You have handed in a text for this task already. Withdraw it under My work before you hand in another."
    )


class Paused(NotAllowed):
    message = _("Your work in this project is paused. What you wrote is kept as a draft.")

    def __init__(self, reason: str = "") -> None:
        super().__init__(_("Your work in this project is paused: %(reason)s") % {"reason": reason} if reason else "")
        self.reason = reason


class NotQualified(NotAllowed):
    message = _("Your first answers are being graded. You get ordinary work when they are good enough.")


class OwnWork(NotAllowed):
    message = _("Nobody reviews their own work. Somebody else will look at it.")


class NeedsAdmin(NotAllowed):
    message = _("This text was sent back so often that an admin decides.")


class UndoTooLate(NotAllowed):
    message = _("Somebody has built on this decision already, so it cannot be undone.")


class SendBackLimit(LabelingError):
    message = _("This text was sent back so often that an admin decides what becomes of it.")


class HeldByOther(NotAllowed):
    message = _("Somebody else is working on this at the moment.")


class InvitationError(LabelingError):
    def __init__(self, reason: str, message: "str | _StrPromise" = "") -> None:
        super().__init__(message or INVITATION_MESSAGES[reason])
        self.reason = reason


INVITATION_MESSAGES = {
    "unknown": _("This invitation does not exist. Check that the link is complete, or ask for a new one."),
    "used": _("This invitation has been used. If it was you, sign in; otherwise ask for a new one."),
    "expired": _("This invitation has expired. Ask the person who sent it for a new one."),
    "revoked": _("This invitation was withdrawn. Ask the person who sent it whether it was a mistake."),
    "email": _("This invitation is for another mail address than the one you are signed in with."),
}


class AlreadyMember(LabelingError):
    message = _("This person is in the project already.")


class StaleInstructions(LabelingError):
    def __init__(self, current: "InstructionVersion", *, based_on: int) -> None:
        words = {"old": based_on, "new": current.number, "name": current.published_by or _("the command line")}
        super().__init__(
            _(
                "You started from version %(old)d. Meanwhile %(name)s published version %(new)d. "
                "Nothing was overwritten; your text is kept below, beside the new one."
            )
            % words
        )
        self.current, self.based_on = current, based_on


class BadHints(LabelingError):
    message = _("The most words of a response cannot be fewer than the fewest.")


class UnchangedInstructions(LabelingError):
    message = _("This is the text of the version in force. Change something, or leave the page.")


class MissingChangeNote(LabelingError):
    message = _("Say in a sentence what changed: those who know the last version will read it first.")


class LeaseLost(LabelingError):
    message = _("This task went to somebody else. What you wrote is kept; you can still hand it in.")


class StaleDraft(LabelingError):
    message = _("This draft was saved somewhere else in the meantime. Both texts are kept.")

    def __init__(self, draft: "Draft") -> None:
        super().__init__()
        self.draft = draft


class StaleVoteDraft(LabelingError):
    message = StaleDraft.message

    def __init__(self, draft: "VoteDraft") -> None:
        super().__init__()
        self.draft = draft


class StaleReviewDraft(LabelingError):
    message = StaleDraft.message

    def __init__(self, draft: "ReviewDraft") -> None:
        super().__init__()
        self.draft = draft


class BadConversation(LabelingError):
    def __init__(self, code: str) -> None:
        super().__init__(CONVERSATION_MESSAGES[code])
        self.code = code


CONVERSATION_MESSAGES = {
    "not_a_list": _("The conversation cannot be read."),
    "bad_message": _("A turn of the conversation has no text."),
    "bad_role": _("A turn of the conversation is neither the user's nor the assistant's."),
    "empty": _("The conversation is empty."),
    "empty_turn": _("A turn of the conversation is empty. Write something in it or remove it."),
    "order": _("User and assistant have to take turns, beginning with the user."),
    "last_turn": _("The last turn has to be the assistant's: the ideal response."),
    "last_user": _("The last turn of a prompt has to be the user's."),
    "other_prompt": _("The prompt of this task may not be changed."),
}


class FileRefused(LabelingError):
    message = _("The file cannot be used.")


class UnchangedText(LabelingError):
    message = _("The text is the same as the wrong answer. Change it, or dismiss the case if the answer is fine.")


class BadCheck(LabelingError):
    message = _("This check cannot be applied.")


class BadProbe(LabelingError):
    def __init__(self, message: "str | _StrPromise", prompt: str = "") -> None:
        super().__init__(message)
        self.prompt = prompt


class EmptyAnswer(LabelingError):
    message = _("There is no answer that could be corrected.")


class NoReference(LabelingError):
    message = _("Give a reference answer, a check, or both: a grader needs something to measure by.")


class AlreadyGraded(LabelingError):
    message = _("This answer does not wait for your grade any more.")


class CommentNeeded(LabelingError):
    message = _("Say why, in a sentence: the author reads it and learns from it.")


class AlreadyDecided(LabelingError):
    message = _("Somebody decided on this submission before you. Nothing was overwritten.")

    def __init__(self, review: "Review | None") -> None:
        super().__init__()
        self.review = review


class NotCorrectable(LabelingError):
    message = _("The case changed while you were at work: it does not wait for a correction now.")

    def __init__(self, case: "Case") -> None:
        super().__init__()
        self.case = case


class CorrectedMeanwhile(NotCorrectable):
    message = _("Somebody corrected this case after you had opened it. Nothing was overwritten; your text is kept.")


class NotMergeable(LabelingError):
    message = _("These two cases cannot be merged.")


class NotAssignable(LabelingError):
    message = _("Only active reviewers and admins of the project can be assigned to a case.")


class BadReason(LabelingError):
    message = _("This project has no such reason.")


class BadAddress(LabelingError):
    message = _("Give an address that begins with https:// or http://, without a name and a password in it.")


class UneditedDraft(LabelingError):
    message = _(
        "This is the machine's draft, word for word. Edit it, or confirm that you have read it and that it is right."
    )


class DuplicateExample(LabelingError):
    message = _("An example with exactly this conversation exists already. It would count twice in training.")

    def __init__(self, existing: "Example") -> None:
        super().__init__()
        self.existing = existing


class AlreadyJudged(NotAllowed):
    message = _("This has been judged already. The first judgement stands.")


class BadComparison(LabelingError):
    message = _("The two answers are the same, so there is nothing to compare.")


class DuplicateComparison(LabelingError):
    message = _("This prompt with these two answers is there already.")

    def __init__(self, existing: "Comparison") -> None:
        super().__init__()
        self.existing = existing


class HasFindings(LabelingError):
    message = _("Something here may need another look. Change it, or say why it is right as it is.")

    def __init__(self, findings: "list[Finding]") -> None:
        super().__init__()
        self.findings = findings
