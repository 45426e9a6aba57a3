from django.contrib import admin
from django.urls import include, path

urlpatterns = [
    path("v1/", include("training.api.urls")),
    path("v1/", include("deployment.api.urls")),
    path("api/v1/", include("training.api.rest_urls")),
    path("api/v1/", include("deployment.api.rest_urls")),
    path("api/v1/", include("labeling.api.urls")),
    path("admin/", admin.site.urls),
    path("i18n/", include("django.conf.urls.i18n")),
    path("accounts/", include("allauth.account.urls")),
    path("accounts/2fa/", include("allauth.mfa.urls")),
    path("", include("labeling.urls")),
    path("", include("training.urls")),
    path("", include("deployment.urls")),
]
