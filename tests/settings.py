"""The product's settings, on a database and folders of the tests' own."""

import os
import tempfile
from pathlib import Path

os.environ.setdefault("EMEND_VAR_DIR", tempfile.mkdtemp(prefix="emend-test-"))
os.environ.setdefault("EMEND_SECRET_KEY", "only for tests")

from config.settings import *  # noqa: F403
from config.settings import DATABASES, VAR_DIR

if DATABASES["default"]["ENGINE"].endswith(
    "sqlite3"
):  # in a file: threads that race wait for its lock, as in the product
    DATABASES["default"]["TEST"] = {"NAME": str(VAR_DIR / "test.sqlite3")}
    # no test pulls the plug: nothing waits for the disk
    options = DATABASES["default"]["OPTIONS"]
    DATABASES["default"]["OPTIONS"] = {**options, "init_command": options["init_command"] + " PRAGMA synchronous=OFF;"}
DATABASES["default"]["CONN_MAX_AGE"] = (
    0  # a connection that a test's thread left behind would keep the database from going
)
PASSWORD_HASHERS = ["django.contrib.auth.hashers.MD5PasswordHasher"]
EMAIL_BACKEND = "django.core.mail.backends.locmem.EmailBackend"
STORAGES = {
    "default": {"BACKEND": "django.core.files.storage.InMemoryStorage"},
    "staticfiles": {"BACKEND": "django.contrib.staticfiles.storage.StaticFilesStorage"},
    "artefacts": {"BACKEND": "common.artefacts.VarStorage"},
}
CELERY_BROKER_URL = "memory://"
CACHES = {"default": {"BACKEND": "django.core.cache.backends.locmem.LocMemCache"}}
WHITENOISE_AUTOREFRESH = True
Path(VAR_DIR, "static").mkdir(parents=True, exist_ok=True)
