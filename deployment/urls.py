from django.urls import include, path

from deployment.views import (
    api_key,
    candidate,
    case_draft,
    chat,
    completion,
    cycle,
    health,
    lineage,
    release,
    retraction,
)

project_patterns = [
    path("chat/", chat.show, name="deployment-chat-show"),
    path("chat/<int:pk>/", chat.show, name="deployment-conversation-show"),
    path("chat/send/", chat.send, name="deployment-chat-send"),
    path("chat/answers/<str:key>/", completion.piece, name="deployment-answer-show"),
    path("chat/answers/<str:key>/again/", chat.regenerate, name="deployment-answer-regenerate"),
    path("chat/answers/<str:key>/rate/", completion.rate, name="deployment-answer-rate"),
    path("chat/answers/<str:key>/report/", completion.report, name="deployment-answer-report"),
    path("cases/<int:pk>/machine-draft/", case_draft.case_draft, name="deployment-case-draft"),
    path("reports/", completion.reports, name="deployment-report-list"),
    path("completions/", completion.log, name="deployment-completion-list"),
    path("completions/<str:key>/", completion.show, name="deployment-completion-show"),
    path("deployment/", release.show, name="deployment-release-show"),
    path("deployment/deploy/", release.deploy, name="deployment-release-deploy"),
    path("deployment/roll-back/", release.back, name="deployment-release-roll-back"),
    path("deployment/candidate/", candidate.step, name="deployment-candidate-step"),
    path("deployment/summary/", release.summary, name="deployment-project-summary"),
    path("lineage/", lineage.show, name="deployment-lineage-show"),
    path("retractions/", retraction.index, name="deployment-retraction-list"),
    path("retractions/<int:pk>/", retraction.show, name="deployment-retraction-show"),
    path("retractions/<int:pk>/undo/", retraction.undo, name="deployment-retraction-undo"),
    path("retractions/<int:pk>/retrain/", retraction.retrain, name="deployment-retraction-retrain"),
    path("people/<int:pk>/retract/", retraction.person, name="deployment-retraction-person"),
    path("keys/", api_key.index, name="deployment-key-list"),
    path("keys/create/", api_key.create, name="deployment-key-create"),
    path("keys/<int:pk>/revoke/", api_key.revoke, name="deployment-key-revoke"),
    path("cycles/", cycle.index, name="deployment-cycle-list"),
    path("cycles/start/", cycle.start, name="deployment-cycle-start"),
    path("cycles/<int:number>/", cycle.show, name="deployment-cycle-show"),
    path("cycles/<int:number>/cancel/", cycle.cancel, name="deployment-cycle-cancel"),
]

urlpatterns = [
    path("healthz", health.show, name="deployment-health-show"),
    path("p/<slug:slug>/", include(project_patterns)),
]
