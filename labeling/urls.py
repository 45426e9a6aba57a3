from django.urls import path

from labeling.views import case, example, review

JUDGING = [
    path("p/<slug:slug>/review/", review.review_next, name="labeling-review-next"),
    path("p/<slug:slug>/review/<int:pk>/", review.review_show, name="labeling-review-submission"),
    path("p/<slug:slug>/review/<int:pk>/skip/", review.review_skip, name="labeling-review-skip"),
    path("p/<slug:slug>/review/<int:pk>/diff/", review.review_diff, name="labeling-review-diff"),
    path("p/<slug:slug>/cases/", case.case_list, name="labeling-case-list"),
    path("p/<slug:slug>/cases/next/", case.case_next, name="labeling-case-next"),
    path("p/<slug:slug>/cases/<int:pk>/", case.case_show, name="labeling-case-show"),
    path("p/<slug:slug>/cases/<int:pk>/claim/", case.case_claim, name="labeling-case-claim"),
    path("p/<slug:slug>/cases/<int:pk>/release/", case.case_release, name="labeling-case-release"),
    path("p/<slug:slug>/cases/<int:pk>/dismiss/", case.case_dismiss, name="labeling-case-dismiss"),
    path("p/<slug:slug>/cases/<int:pk>/draft/", case.case_draft, name="labeling-case-draft"),
    path("p/<slug:slug>/cases/<int:pk>/correct/", case.case_correct, name="labeling-case-correct"),
    path("p/<slug:slug>/examples/", example.example_list, name="labeling-example-list"),
    path("p/<slug:slug>/examples/<int:pk>/retract/", example.example_retract, name="labeling-example-retract"),
]

urlpatterns = [*JUDGING]
