"""The addresses of /api/v1."""

from django.urls import path
from drf_spectacular.renderers import OpenApiJsonRenderer
from drf_spectacular.views import SpectacularAPIView

from labeling.api import case, example, people, project, submission, task
from labeling.api.endpoint import address
from labeling.api.problems import unknown

_P = "p/<slug:slug>/"
_T, _S, _C, _M = f"{_P}tasks/<int:pk>/", f"{_P}submissions/<int:pk>/", f"{_P}cases/<int:pk>/", f"{_P}people/<int:pk>/"
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
    path(f"{_P}invitations/", address(POST=people.invitation_create), name="api-invitations"),
    path(f"{_M}role/", address(POST=people.member_change), name="api-member-role"),
    path(f"{_M}pause/", address(POST=people.member_pause), name="api-member-pause"),
    path(f"{_M}resume/", address(POST=people.member_resume), name="api-member-resume"),
    path(f"{_M}remove/", address(POST=people.member_remove), name="api-member-remove"),
    # tasks and drafts
    path(f"{_P}tasks/", address(GET=task.task_list, POST=task.task_add), name="api-tasks"),
    path(f"{_P}tasks/next/", address(POST=task.task_next), name="api-task-next"),
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
    path(f"{_C}claim/", address(POST=case.case_claim), name="api-case-claim"),
    path(f"{_C}release/", address(POST=case.case_release), name="api-case-release"),
    path(f"{_C}correct/", address(POST=case.case_correct), name="api-case-correct"),
    path(f"{_C}dismiss/", address(POST=case.case_dismiss), name="api-case-dismiss"),
    path(f"{_C}reopen/", address(POST=case.case_reopen), name="api-case-reopen"),
    path(f"{_C}merge/", address(POST=case.case_merge), name="api-case-merge"),
    path(f"{_C}unmerge/", address(POST=case.case_unmerge), name="api-case-unmerge"),
    path(f"{_C}assign/", address(POST=case.case_assign), name="api-case-assign"),
    path(f"{_C}severity/", address(POST=case.case_severity), name="api-case-severity"),
    # examples and comparisons
    path(f"{_P}examples/", address(GET=example.example_list), name="api-examples"),
    path(f"{_P}examples/<int:pk>/retract/", address(POST=example.example_retract), name="api-example-retract"),
    path(f"{_P}comparisons/next/", address(POST=example.comparison_next), name="api-comparison-next"),
    path(f"{_COMPARISON}vote/", address(POST=example.comparison_vote), name="api-comparison-vote"),
    path(f"{_COMPARISON}skip/", address(POST=example.comparison_skip), name="api-comparison-skip"),
    path("<path:rest>", unknown, name="api-unknown"),
]
