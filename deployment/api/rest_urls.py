"""The addresses of /api/v1 that know deployments."""

from django.urls import path

from deployment.api import lineage
from labeling.api.endpoint import address

_P = "p/<slug:slug>/"
_M, _R = f"{_P}people/<int:pk>/", f"{_P}retractions/<int:pk>/"

urlpatterns = [
    path(f"{_P}lineage/", address(GET=lineage.lineage_show), name="api-lineage"),
    path(f"{_M}lineage/", address(GET=lineage.person_lineage), name="api-member-lineage"),
    path(f"{_M}retract/", address(POST=lineage.person_retract), name="api-member-retract"),
    path(f"{_P}retractions/", address(GET=lineage.retraction_list), name="api-retractions"),
    path(_R, address(GET=lineage.retraction_show), name="api-retraction"),
    path(f"{_R}undo/", address(POST=lineage.retraction_undo), name="api-retraction-undo"),
    path(f"{_R}retrain/", address(POST=lineage.retraction_retrain), name="api-retraction-retrain"),
]
