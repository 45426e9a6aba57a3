from django.urls import path

from labeling.views import instructions, people, project, queue, submission, task

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
    path(f"{_PROJECT}invitations/<int:pk>/revoke/", people.invitation_revoke, name="labeling-invitation-revoke"),
    # instructions
    path(f"{_PROJECT}instructions/", instructions.instructions_show, name="labeling-instructions-show"),
    path(f"{_PROJECT}instructions/publish/", instructions.instructions_publish, name="labeling-instructions-publish"),
    path(
        f"{_PROJECT}instructions/acknowledge/",
        instructions.instructions_acknowledge,
        name="labeling-instructions-acknowledge",
    ),
    # writing
    path(f"{_PROJECT}write/", task.task_next, name="labeling-task-next"),
    path(_WRITE, task.task_write, name="labeling-task-write"),
    path(f"{_WRITE}submit/", task.task_submit, name="labeling-task-submit"),
    path(f"{_WRITE}draft/", task.draft_save, name="labeling-draft-save"),
    path(f"{_WRITE}draft/discard/", task.draft_discard, name="labeling-draft-discard"),
    path(f"{_WRITE}lease/", task.lease_extend, name="labeling-lease-extend"),
    path(f"{_WRITE}release/", task.task_release, name="labeling-task-release"),
    path(f"{_WRITE}resume/", task.task_resume, name="labeling-task-resume"),
    path(f"{_PROJECT}work/", submission.submission_list, name="labeling-submission-list"),
    path(f"{_PROJECT}work/<int:pk>/revise/", submission.submission_revise, name="labeling-submission-revise"),
    path(f"{_PROJECT}work/<int:pk>/withdraw/", submission.submission_withdraw, name="labeling-submission-withdraw"),
    # the queue of tasks
    path(f"{_PROJECT}tasks/", queue.task_list, name="labeling-task-list"),
    path(f"{_PROJECT}tasks/add/", queue.task_add, name="labeling-task-add"),
    path(f"{_PROJECT}tasks/<int:pk>/retire/", queue.task_retire, name="labeling-task-retire"),
]
