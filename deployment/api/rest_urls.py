"""The addresses of /api/v1 that know deployments."""

from django.urls import path

from deployment.api import lineage
from deployment.api.rest import alert, cycle, release
from labeling.api.endpoint import address

_P = "p/<slug:slug>/"
_M, _R = f"{_P}people/<int:pk>/", f"{_P}retractions/<int:pk>/"
_C, _D, _RULE = f"{_P}cycles/<int:number>/", f"{_P}deployment/", f"{_P}alert-rules/<slug:measure>/"

urlpatterns = [
    path(f"{_P}cycles/", address(GET=cycle.cycle_list, POST=cycle.cycle_start), name="api-cycles"),
    path(f"{_P}cycles/policy/", address(GET=cycle.policy_show, PATCH=cycle.policy_set), name="api-cycle-policy"),
    path(_C, address(GET=cycle.cycle_show), name="api-cycle"),
    path(f"{_C}cancel/", address(POST=cycle.cycle_cancel), name="api-cycle-cancel"),
    path(_D, address(GET=release.deployment_show, PATCH=release.deployment_rules), name="api-deployment"),
    path(f"{_D}changes/", address(GET=release.deployment_changes), name="api-deployment-changes"),
    path(f"{_D}live/", address(POST=release.deployment_live), name="api-deployment-live"),
    path(f"{_D}candidate/", address(POST=release.deployment_candidate), name="api-deployment-candidate"),
    path(f"{_D}candidate/promote/", address(POST=release.deployment_promote), name="api-deployment-promote"),
    path(f"{_D}candidate/withdraw/", address(POST=release.deployment_withdraw), name="api-deployment-withdraw"),
    path(f"{_D}roll-back/", address(POST=release.deployment_roll_back), name="api-deployment-roll-back"),
    path(f"{_P}alerts/", address(GET=alert.alert_list), name="api-alerts"),
    path(f"{_P}alerts/<int:pk>/take/", address(POST=alert.alert_take), name="api-alert-take"),
    path(f"{_P}alert-rules/", address(GET=alert.alert_rule_list), name="api-alert-rules"),
    path(_RULE, address(PATCH=alert.alert_rule_set), name="api-alert-rule"),
    path(f"{_RULE}silence/", address(POST=alert.alert_silence), name="api-alert-silence"),
    path(f"{_P}lineage/", address(GET=lineage.lineage_show), name="api-lineage"),
    path(f"{_M}lineage/", address(GET=lineage.person_lineage), name="api-member-lineage"),
    path(f"{_M}retract/", address(POST=lineage.person_retract), name="api-member-retract"),
    path(f"{_P}retractions/", address(GET=lineage.retraction_list), name="api-retractions"),
    path(_R, address(GET=lineage.retraction_show), name="api-retraction"),
    path(f"{_R}undo/", address(POST=lineage.retraction_undo), name="api-retraction-undo"),
    path(f"{_R}retrain/", address(POST=lineage.retraction_retrain), name="api-retraction-retrain"),
]
