"""The addresses of /api/v1."""

from django.urls import path
from drf_spectacular.renderers import OpenApiJsonRenderer
from drf_spectacular.views import SpectacularAPIView

from labeling.api import (
    agreement,
    bulk,
    case,
    comparison,
    example,
    gold,
    people,
    project,
    prompt_import,
    reason,
    second_review,
    submission,
    task,
    webhook,
)
from labeling.api.endpoint import address
from labeling.api.problems import unknown

_P = "p/<slug:slug>/"
_T, _S, _C, _M = f"{_P}tasks/<int:pk>/", f"{_P}submissions/<int:pk>/", f"{_P}cases/<int:pk>/", f"{_P}people/<int:pk>/"
_EXAMPLE, _IMPORT, _HOOK = f"{_P}examples/<int:pk>/", f"{_P}imports/<int:pk>/", f"{_P}webhooks/<int:pk>/"
_GRADE, _SECOND = f"{_P}grades/<int:pk>/", f"{_P}second-reviews/<int:pk>/"
_INSTRUCTIONS, _COMPARISON = f"{_P}instructions/", f"{_P}comparisons/<int:pk>/"

urlpatterns = [
    path(
        "schema/",
        SpectacularAPIView.as_view(
            authentication_classes=[], permission_classes=[], renderer_classes=[OpenApiJsonRenderer]
        ),
        name="api-schema",
    ),
    path("projects/", address(GET=project.project_list), name="api-project-list"),
    path(_P, address(GET=project.project_show), name="api-project"),
    path(f"{_P}audit/", address(GET=project.audit_list), name="api-audit"),
    path(
        _INSTRUCTIONS,
        address(GET=project.instructions_list, POST=project.instructions_publish),
        name="api-instructions",
    ),
    path(
        f"{_INSTRUCTIONS}<int:number>/acknowledge/",
        address(POST=project.instructions_acknowledge),
        name="api-instructions-acknowledge",
    ),
    # people
    path(f"{_P}people/", address(GET=people.member_list), name="api-people"),
    path(f"{_P}people/export/", address(GET=people.people_export), name="api-people-export"),
    path(
        f"{_P}invitations/",
        address(GET=people.invitation_list, POST=people.invitation_create),
        name="api-invitations",
    ),
    path(f"{_P}invitations/<int:pk>/revoke/", address(POST=people.invitation_revoke), name="api-invitation-revoke"),
    path(f"{_M}rates/", address(GET=people.rate_list, POST=people.rate_set), name="api-member-rates"),
    path(f"{_M}languages/", address(PUT=people.languages_set), name="api-member-languages"),
    path(f"{_M}qualification/", address(POST=gold.qualification_decide), name="api-member-qualification"),
    path(f"{_M}role/", address(POST=people.member_change), name="api-member-role"),
    path(f"{_M}pause/", address(POST=people.member_pause), name="api-member-pause"),
    path(f"{_M}resume/", address(POST=people.member_resume), name="api-member-resume"),
    path(f"{_M}remove/", address(POST=people.member_remove), name="api-member-remove"),
    path(f"{_P}settings/", address(GET=project.settings_show, PATCH=project.settings_change), name="api-settings"),
    path(f"{_P}reasons/", address(GET=reason.reason_list, POST=reason.reason_add), name="api-reasons"),
    path(f"{_P}reasons/<slug:key>/", address(PUT=reason.reason_change), name="api-reason"),
    path(f"{_P}webhooks/", address(GET=webhook.webhook_list, POST=webhook.webhook_add), name="api-webhooks"),
    path(
        _HOOK,
        address(GET=webhook.webhook_show, PUT=webhook.webhook_change, DELETE=webhook.webhook_delete),
        name="api-webhook",
    ),
    path(f"{_HOOK}test/", address(POST=webhook.webhook_test), name="api-webhook-test"),
    path(f"{_HOOK}deliveries/", address(GET=webhook.delivery_list), name="api-deliveries"),
    path(f"{_P}deliveries/<int:pk>/again/", address(POST=webhook.delivery_again), name="api-delivery-again"),
    # qualification, gold tasks, grades
    path(f"{_P}standing/", address(GET=gold.standing_show), name="api-standing"),
    path(f"{_P}standing/retry/", address(POST=gold.standing_retry), name="api-standing-retry"),
    path(f"{_P}qualification/", address(GET=gold.rules_show, PUT=gold.rules_set), name="api-qualification"),
    path(f"{_P}gold/", address(GET=gold.gold_list), name="api-gold"),
    path(f"{_T}gold/", address(PUT=gold.gold_mark), name="api-gold-mark"),
    path(f"{_P}gold/<int:pk>/unmark/", address(POST=gold.gold_unmark), name="api-gold-unmark"),
    path(f"{_P}grades/next/", address(POST=gold.grade_next), name="api-grade-next"),
    path(_GRADE, address(POST=gold.grade_give), name="api-grade"),
    path(f"{_GRADE}skip/", address(POST=gold.grade_skip), name="api-grade-skip"),
    # many rows at once, files of prompts
    path(f"{_P}bulk/", address(POST=bulk.bulk_run), name="api-bulk-run"),
    path(f"{_P}bulk/<int:pk>/", address(GET=bulk.bulk_show), name="api-bulk"),
    path(f"{_P}bulk/<int:pk>/stop/", address(POST=bulk.bulk_stop), name="api-bulk-stop"),
    path(f"{_P}bulk/<int:pk>/undo/", address(POST=bulk.bulk_undo), name="api-bulk-undo"),
    path(
        f"{_P}imports/",
        address(GET=prompt_import.import_list, POST=prompt_import.import_upload),
        name="api-prompt-imports",
    ),
    path(_IMPORT, address(GET=prompt_import.import_show), name="api-prompt-import"),
    path(f"{_IMPORT}start/", address(POST=prompt_import.import_start), name="api-prompt-import-start"),
    path(f"{_IMPORT}cancel/", address(POST=prompt_import.import_cancel), name="api-prompt-import-cancel"),
    path(f"{_IMPORT}undo/", address(POST=prompt_import.import_undo), name="api-prompt-import-undo"),
    path(f"{_IMPORT}read/", address(POST=prompt_import.import_read), name="api-prompt-import-read"),
    path(f"{_P}tags/", address(GET=task.tag_list), name="api-tags"),
    # tasks and drafts
    path(f"{_P}tasks/", address(GET=task.task_list, POST=task.task_add), name="api-tasks"),
    path(f"{_P}tasks/next/", address(POST=task.task_next), name="api-task-next"),
    path(f"{_P}tasks/aside/", address(GET=task.task_aside), name="api-tasks-aside"),
    path(f"{_T}tag/", address(POST=task.task_tag), name="api-task-tag"),
    path(f"{_T}untag/", address(POST=task.task_untag), name="api-task-untag"),
    path(f"{_T}resume/", address(POST=task.task_resume), name="api-task-resume"),
    path(f"{_T}draft/switch/", address(POST=task.draft_switch), name="api-draft-switch"),
    path(_T, address(GET=task.task_show), name="api-task"),
    path(f"{_T}renew/", address(POST=task.task_renew), name="api-task-renew"),
    path(f"{_T}release/", address(POST=task.task_release), name="api-task-release"),
    path(f"{_T}skip/", address(POST=task.task_skip), name="api-task-skip"),
    path(f"{_T}retire/", address(POST=task.task_retire), name="api-task-retire"),
    path(f"{_T}return/", address(POST=task.task_return), name="api-task-return"),
    path(f"{_T}take-away/", address(POST=task.task_take_away), name="api-task-take-away"),
    path(
        f"{_T}draft/",
        address(GET=task.draft_show, PUT=task.draft_save, DELETE=task.draft_discard),
        name="api-task-draft",
    ),
    path(f"{_T}submissions/", address(POST=submission.submission_create), name="api-task-submit"),
    # submissions and reviews
    path(f"{_P}submissions/", address(GET=submission.submission_list), name="api-submissions"),
    path(f"{_P}submissions/export/", address(GET=submission.submission_export), name="api-submission-export"),
    path(_S, address(GET=submission.submission_show), name="api-submission"),
    path(f"{_S}revise/", address(POST=submission.submission_revise), name="api-submission-revise"),
    path(f"{_S}withdraw/", address(POST=submission.submission_withdraw), name="api-submission-withdraw"),
    path(f"{_S}comments/", address(GET=submission.comment_list, POST=submission.comment_add), name="api-comments"),
    path(f"{_P}reviews/next/", address(POST=submission.review_next), name="api-review-next"),
    path(f"{_S}review/", address(POST=submission.review_decide), name="api-review"),
    path(f"{_S}review/release/", address(POST=submission.review_release), name="api-review-release"),
    path(f"{_S}review/undo/", address(POST=submission.review_undo), name="api-review-undo"),
    # cases
    path(f"{_P}cases/", address(GET=case.case_list, POST=case.case_report), name="api-cases"),
    path(f"{_P}cases/next/", address(POST=case.case_next), name="api-case-next"),
    path(_C, address(GET=case.case_show), name="api-case"),
    path(f"{_C}reports/", address(GET=case.case_reports), name="api-case-reports"),
    path(f"{_C}near/", address(GET=case.case_near), name="api-case-near"),
    path(f"{_C}draft/", address(GET=case.case_draft_show, PUT=case.case_draft_save), name="api-case-draft"),
    path(f"{_C}claim/", address(POST=case.case_claim), name="api-case-claim"),
    path(f"{_C}release/", address(POST=case.case_release), name="api-case-release"),
    path(f"{_C}correct/", address(POST=case.case_correct), name="api-case-correct"),
    path(f"{_C}dismiss/", address(POST=case.case_dismiss), name="api-case-dismiss"),
    path(f"{_C}reopen/", address(POST=case.case_reopen), name="api-case-reopen"),
    path(f"{_C}merge/", address(POST=case.case_merge), name="api-case-merge"),
    path(f"{_C}unmerge/", address(POST=case.case_unmerge), name="api-case-unmerge"),
    path(f"{_C}assign/", address(POST=case.case_assign), name="api-case-assign"),
    path(f"{_C}severity/", address(POST=case.case_severity), name="api-case-severity"),
    # examples
    path(f"{_P}examples/", address(GET=example.example_list), name="api-examples"),
    path(f"{_EXAMPLE}retract/", address(POST=example.example_retract), name="api-example-retract"),
    path(f"{_EXAMPLE}tag/", address(POST=example.example_tag), name="api-example-tag"),
    path(f"{_EXAMPLE}untag/", address(POST=example.example_untag), name="api-example-untag"),
    # comparisons, second reviews, agreement
    path(
        f"{_P}comparisons/",
        address(GET=comparison.comparison_list, POST=comparison.comparison_add),
        name="api-comparisons",
    ),
    path(f"{_P}comparisons/next/", address(POST=comparison.comparison_next), name="api-comparison-next"),
    path(f"{_P}comparisons/pair/", address(POST=comparison.comparison_pair), name="api-comparison-pair"),
    path(_COMPARISON, address(GET=comparison.comparison_show), name="api-comparison"),
    path(f"{_COMPARISON}vote/", address(POST=comparison.comparison_vote), name="api-comparison-vote"),
    path(f"{_COMPARISON}skip/", address(POST=comparison.comparison_skip), name="api-comparison-skip"),
    path(f"{_COMPARISON}retire/", address(POST=comparison.comparison_retire), name="api-comparison-retire"),
    path(f"{_COMPARISON}restore/", address(POST=comparison.comparison_restore), name="api-comparison-restore"),
    path(f"{_P}judging/", address(GET=comparison.judging_show, PUT=comparison.judging_set), name="api-judging"),
    path(
        f"{_P}second-reviews/next/",
        address(POST=second_review.second_review_next),
        name="api-second-review-next",
    ),
    path(f"{_SECOND}judge/", address(POST=second_review.second_review_judge), name="api-second-review-judge"),
    path(f"{_SECOND}skip/", address(POST=second_review.second_review_skip), name="api-second-review-skip"),
    path(f"{_P}disagreements/", address(GET=second_review.disagreement_list), name="api-disagreements"),
    path(
        f"{_P}disagreements/<int:pk>/settle/",
        address(POST=second_review.disagreement_settle),
        name="api-disagreement-settle",
    ),
    path(f"{_P}agreement/", address(GET=agreement.agreement_show), name="api-agreement"),
    path(f"{_P}agreement/refresh/", address(POST=agreement.agreement_refresh), name="api-agreement-refresh"),
    path("<path:rest>", unknown, name="api-unknown"),
]
