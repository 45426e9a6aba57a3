"""The addresses of /api/v1 that are about training."""

from django.urls import path

from labeling.api.endpoint import address
from training.api import base_model, dataset, export, preset

_PRESETS = "p/<slug:slug>/presets/"
_DATASET = "p/<slug:slug>/datasets/<int:number>/"

urlpatterns = [
    path("p/<slug:slug>/base-models/", address(GET=base_model.base_model_list), name="api-base-models"),
    path("p/<slug:slug>/datasets/", address(GET=dataset.dataset_list), name="api-datasets"),
    path(_DATASET, address(GET=dataset.dataset_show), name="api-dataset"),
    path(f"{_DATASET}note/", address(POST=dataset.dataset_note), name="api-dataset-note"),
    path(f"{_DATASET}rows/", address(GET=dataset.row_list), name="api-dataset-rows"),
    path(f"{_DATASET}rows/<int:position>/", address(GET=dataset.row_show), name="api-dataset-row"),
    path(f"{_DATASET}diff/", address(GET=dataset.dataset_diff), name="api-dataset-diff"),
    path(f"{_DATASET}exports/", address(GET=export.dataset_export_list), name="api-dataset-exports"),
    path(
        f"{_DATASET}export/",
        address(GET=export.dataset_export_file, POST=export.dataset_export_make),
        name="api-dataset-export",
    ),
    path(_PRESETS, address(GET=preset.preset_list, POST=preset.preset_save), name="api-presets"),
    path(
        f"{_PRESETS}<int:pk>/",
        address(GET=preset.preset_show, PATCH=preset.preset_rename, DELETE=preset.preset_delete),
        name="api-preset",
    ),
]
