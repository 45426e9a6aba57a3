from django.contrib import admin

from training.models import BaseModel


@admin.register(BaseModel)
class BaseModelAdmin(admin.ModelAdmin):
    """The catalog is shared by all projects; everything else has its own pages."""

    list_display = ["name", "slug", "source", "location", "is_default"]
    prepopulated_fields = {"slug": ["name"]}
