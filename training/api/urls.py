"""The addresses of /v1 for files and fine-tuning, without slashes at their ends."""

from django.urls import URLPattern

urlpatterns: list[URLPattern] = []
