from typing import Any

from django.contrib import admin
from django.http import HttpRequest

from deployment.models import Batch, Completion, Cycle, Deployment, DeploymentChange, ShadowAnswer


class ReadOnlyAdmin(admin.ModelAdmin):
    """For looking: what changes these rows has rules and a history, and goes through the product's pages."""

    def has_add_permission(self, request: HttpRequest) -> bool:
        return False

    def has_change_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return False

    def has_delete_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return False


@admin.register(Deployment)
class DeploymentAdmin(ReadOnlyAdmin):
    list_display = ("name", "project", "base_model", "live_model")


@admin.register(DeploymentChange)
class DeploymentChangeAdmin(ReadOnlyAdmin):
    list_display = ("deployment", "kind", "from_model", "to_model", "by", "at")
    list_filter = ("kind",)


@admin.register(Completion)
class CompletionAdmin(ReadOnlyAdmin):
    list_display = ("key", "project", "model_name", "state", "rating", "created_at")
    list_filter = ("state", "rating")
    search_fields = ("key", "response")


@admin.register(ShadowAnswer)
class ShadowAnswerAdmin(ReadOnlyAdmin):
    list_display = ("completion", "tuned_model", "state", "is_same", "verdict", "created_at")
    list_filter = ("state", "verdict")


@admin.register(Batch)
class BatchAdmin(ReadOnlyAdmin):
    list_display = ("key", "project", "endpoint", "state", "n_total", "n_completed", "n_failed", "created_at")
    list_filter = ("state",)


@admin.register(Cycle)
class CycleAdmin(ReadOnlyAdmin):
    list_display = ("project", "number", "state", "dataset_version", "job", "started_at", "ended_at")
    list_filter = ("state",)
