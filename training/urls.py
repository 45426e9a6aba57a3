from django.urls import include, path

from training.views import (
    base_model,
    composition,
    dataset,
    evaluation,
    example_import,
    export,
    job,
    model,
    new_job,
    preflight,
    preset,
    project,
    submission,
)

project_urls = [
    path("training/summary/", project.project_summary, name="training-project-summary"),
    path("training/submissions/", submission.submission_uses, name="training-submission-uses"),
    path("datasets/", dataset.dataset_list, name="training-dataset-list"),
    path("datasets/new/", composition.dataset_compose, name="training-dataset-compose"),
    path("datasets/freeze/", dataset.dataset_create, name="training-dataset-create"),
    path("datasets/<int:number>/", dataset.dataset_show, name="training-dataset-show"),
    path("datasets/<int:number>/download/", dataset.dataset_download, name="training-dataset-download"),
    path("examples/imports/", example_import.import_list, name="training-example-import-list"),
    path("examples/imports/<int:pk>/", example_import.import_show, name="training-example-import-show"),
    path("examples/imports/<int:pk>/change/", example_import.import_change, name="training-example-import-change"),
    path("datasets/<int:number>/exports/", export.export_list, name="training-export-list"),
    path("datasets/<int:number>/exports/file/", export.export_file, name="training-export-file"),
    path("jobs/", job.job_list, name="training-job-list"),
    path("jobs/new/", new_job.job_create, name="training-job-create"),
    path("jobs/presets/", preset.preset_list, name="training-preset-list"),
    path("jobs/presets/save/", preset.preset_save, name="training-preset-save"),
    path("jobs/presets/<int:pk>/rename/", preset.preset_rename, name="training-preset-rename"),
    path("jobs/presets/<int:pk>/delete/", preset.preset_delete, name="training-preset-delete"),
    path("jobs/<slug:key>/preflight/", preflight.job_preflight, name="training-job-preflight"),
    path("jobs/<slug:key>/start/", preflight.job_start, name="training-job-start"),
    path("jobs/<slug:key>/", job.job_show, name="training-job-show"),
    path("jobs/<slug:key>/events/", job.job_stream, name="training-job-stream"),
    path("jobs/<slug:key>/cancel/", job.job_cancel, name="training-job-cancel"),
    path("jobs/<slug:key>/pause/", job.job_pause, name="training-job-pause"),
    path("jobs/<slug:key>/resume/", job.job_resume, name="training-job-resume"),
    path("models/", model.model_list, name="training-model-list"),
    path("models/default/", base_model.base_model_default, name="training-base-model-default"),
    path("models/<int:pk>/download/", model.model_download, name="training-model-download"),
    path("models/<int:pk>/made-of/", model.model_lineage, name="training-model-lineage"),
    path("evaluations/", evaluation.evaluation_list, name="training-evaluation-list"),
    path("evaluations/new/", evaluation.evaluation_create, name="training-evaluation-create"),
    path("evaluations/<slug:key>/", evaluation.evaluation_show, name="training-evaluation-show"),
    path("evaluations/<slug:key>/cancel/", evaluation.evaluation_cancel, name="training-evaluation-cancel"),
]

catalog_urls = [
    path("", base_model.base_model_list, name="training-base-model-list"),
    path("add/", base_model.base_model_add, name="training-base-model-add"),
    path("<int:pk>/", base_model.base_model_show, name="training-base-model-show"),
    path("<int:pk>/edit/", base_model.base_model_edit, name="training-base-model-edit"),
    path("<int:pk>/pull/", base_model.base_model_pull, name="training-base-model-pull"),
    path("<int:pk>/cancel/", base_model.base_model_cancel, name="training-base-model-cancel"),
]

urlpatterns = [path("p/<slug:slug>/", include(project_urls)), path("base-models/", include(catalog_urls))]
