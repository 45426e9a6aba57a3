"""The superuser's window on the rows. What has a history is looked at here and changed on its own pages."""

from typing import Any

from django.contrib import admin
from django.http import HttpRequest

from labeling.models import Case, Example, InstructionVersion, Invitation, Membership, Project, Submission, Task, User


class ReadOnlyAdmin(admin.ModelAdmin):
    def has_add_permission(self, request: HttpRequest) -> bool:
        return False

    def has_change_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return False

    def has_delete_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return False


@admin.register(User)
class UserAdmin(admin.ModelAdmin):
    list_display = ["email", "name", "is_active", "is_superuser", "last_login"]
    list_filter = ["is_active", "is_superuser"]
    search_fields = ["email", "name"]
    fields = ["email", "name", "is_active", "is_staff", "is_superuser", "last_login", "date_joined"]
    readonly_fields = ["last_login", "date_joined"]

    def has_add_permission(self, request: HttpRequest) -> bool:
        return False


@admin.register(Project)
class ProjectAdmin(ReadOnlyAdmin):
    list_display = ["name", "slug", "created_at"]
    search_fields = ["name", "slug"]


@admin.register(Membership)
class MembershipAdmin(ReadOnlyAdmin):
    list_display = ["user", "project", "role", "is_active", "created_at"]
    list_filter = ["project", "role", "is_active"]
    list_select_related = ["user", "project"]


@admin.register(Invitation)
class InvitationAdmin(ReadOnlyAdmin):
    list_display = ["project", "role", "email", "created_by", "expires_at", "accepted_at", "revoked_at"]
    list_filter = ["project", "role"]
    list_select_related = ["project", "created_by"]
    exclude = ["token_hash"]


@admin.register(InstructionVersion)
class InstructionVersionAdmin(ReadOnlyAdmin):
    list_display = ["project", "number", "published_by", "published_at"]
    list_filter = ["project"]
    list_select_related = ["project", "published_by"]


@admin.register(Task, Submission, Case, Example)
class WorkAdmin(ReadOnlyAdmin):
    list_display = ["pk", "project"]
    list_filter = ["project"]
    list_select_related = ["project"]
