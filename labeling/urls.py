from django.urls import path

from labeling.views import (
    case,
    draft,
    example,
    export,
    gold,
    grade,
    instructions,
    people,
    project,
    queue,
    review,
    skip,
    standing,
    submission,
    task,
)

_PROJECT = "p/<slug:slug>/"
_WRITE = f"{_PROJECT}write/<int:pk>/"

urlpatterns = [
    # projects
    path("", project.project_list, name="labeling-project-list"),
    path("projects/new/", project.project_create, name="labeling-project-create"),
    path(_PROJECT, project.project_home, name="labeling-project-home"),
    path(f"{_PROJECT}settings/", project.project_edit, name="labeling-project-edit"),
    # people
    path("join/<str:token>/", people.invitation_accept, name="labeling-invitation-accept"),
    path(f"{_PROJECT}people/", people.people_list, name="labeling-people-list"),
    path(f"{_PROJECT}people/invite/", people.invitation_create, name="labeling-invitation-create"),
    path(f"{_PROJECT}people/<int:pk>/", people.member_change, name="labeling-member-change"),
    path(f"{_PROJECT}people/<int:pk>/standing/", standing.member_standing, name="labeling-member-standing"),
    path(f"{_PROJECT}invitations/<int:pk>/revoke/", people.invitation_revoke, name="labeling-invitation-revoke"),
    # instructions
    path(f"{_PROJECT}instructions/", instructions.instructions_show, name="labeling-instructions-show"),
    path(f"{_PROJECT}instructions/publish/", instructions.instructions_publish, name="labeling-instructions-publish"),
    path(
        f"{_PROJECT}instructions/acknowledge/",
        instructions.instructions_acknowledge,
        name="labeling-instructions-acknowledge",
    ),
    # qualification and gold tasks
    path(f"{_PROJECT}qualification/", standing.qualification_show, name="labeling-qualification-show"),
    path(f"{_PROJECT}qualification/retry/", standing.qualification_retry, name="labeling-qualification-retry"),
    path(f"{_PROJECT}gold/", gold.gold_list, name="labeling-gold-list"),
    path(f"{_PROJECT}gold/rules/", gold.gold_rules, name="labeling-gold-rules"),
    path(f"{_PROJECT}tasks/<int:pk>/gold/", gold.gold_edit, name="labeling-gold-edit"),
    path(f"{_PROJECT}gold/<int:pk>/unmark/", gold.gold_unmark, name="labeling-gold-unmark"),
    path(f"{_PROJECT}grade/", grade.grade_next, name="labeling-grade-next"),
    path(f"{_PROJECT}grade/<int:pk>/", grade.grade_show, name="labeling-grade-show"),
    path(f"{_PROJECT}grade/<int:pk>/skip/", grade.grade_skip, name="labeling-grade-skip"),
    # writing
    path(f"{_PROJECT}write/", task.task_next, name="labeling-task-next"),
    path(_WRITE, task.task_write, name="labeling-task-write"),
    path(f"{_WRITE}submit/", task.task_submit, name="labeling-task-submit"),
    path(f"{_WRITE}draft/", draft.draft_save, name="labeling-draft-save"),
    path(f"{_WRITE}draft/preview/", draft.draft_preview, name="labeling-draft-preview"),
    path(f"{_WRITE}draft/switch/", draft.draft_switch, name="labeling-draft-switch"),
    path(f"{_WRITE}draft/discard/", draft.draft_discard, name="labeling-draft-discard"),
    path(f"{_WRITE}lease/", draft.lease_extend, name="labeling-lease-extend"),
    path(f"{_WRITE}release/", task.task_release, name="labeling-task-release"),
    path(f"{_WRITE}resume/", task.task_resume, name="labeling-task-resume"),
    path(f"{_WRITE}skip/", skip.task_skip, name="labeling-task-skip"),
    path(f"{_PROJECT}work/", submission.submission_list, name="labeling-submission-list"),
    path(f"{_PROJECT}work/<int:pk>/revise/", submission.submission_revise, name="labeling-submission-revise"),
    path(f"{_PROJECT}work/<int:pk>/withdraw/", submission.submission_withdraw, name="labeling-submission-withdraw"),
    # the queue of tasks
    path(f"{_PROJECT}tasks/", queue.task_list, name="labeling-task-list"),
    path(f"{_PROJECT}tasks/add/", queue.task_add, name="labeling-task-add"),
    path(f"{_PROJECT}tasks/<int:pk>/retire/", queue.task_retire, name="labeling-task-retire"),
    path(f"{_PROJECT}tasks/<int:pk>/take-away/", skip.task_take_away, name="labeling-task-take-away"),
    path(f"{_PROJECT}tasks/look/", skip.skip_list, name="labeling-skip-list"),
    path(f"{_PROJECT}tasks/<int:pk>/look/", skip.skip_decide, name="labeling-skip-decide"),
    path(f"{_PROJECT}submissions/export/", export.submission_export, name="labeling-submission-export"),
    # review, cases, examples
    path(f"{_PROJECT}review/", review.review_next, name="labeling-review-next"),
    path(f"{_PROJECT}review/<int:pk>/", review.review_show, name="labeling-review-submission"),
    path(f"{_PROJECT}review/<int:pk>/skip/", review.review_skip, name="labeling-review-skip"),
    path(f"{_PROJECT}review/<int:pk>/diff/", review.review_diff, name="labeling-review-diff"),
    path(f"{_PROJECT}cases/", case.case_list, name="labeling-case-list"),
    path(f"{_PROJECT}cases/next/", case.case_next, name="labeling-case-next"),
    path(f"{_PROJECT}cases/<int:pk>/", case.case_show, name="labeling-case-show"),
    path(f"{_PROJECT}cases/<int:pk>/claim/", case.case_claim, name="labeling-case-claim"),
    path(f"{_PROJECT}cases/<int:pk>/release/", case.case_release, name="labeling-case-release"),
    path(f"{_PROJECT}cases/<int:pk>/dismiss/", case.case_dismiss, name="labeling-case-dismiss"),
    path(f"{_PROJECT}cases/<int:pk>/draft/", case.case_draft, name="labeling-case-draft"),
    path(f"{_PROJECT}cases/<int:pk>/correct/", case.case_correct, name="labeling-case-correct"),
    path(f"{_PROJECT}examples/", example.example_list, name="labeling-example-list"),
    path(f"{_PROJECT}examples/<int:pk>/retract/", example.example_retract, name="labeling-example-retract"),
]
