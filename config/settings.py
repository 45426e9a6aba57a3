"""All settings of Emend. What differs between machines comes from the environment (docs/settings.md)."""

import sys
from pathlib import Path
from typing import Any

import dj_database_url
from celery.schedules import crontab
from csp.constants import NONE, SELF
from django.utils.translation import gettext_lazy as _

from config import env

BASE_DIR = Path(__file__).resolve().parent.parent
VAR_DIR = Path(env.read_text("EMEND_VAR_DIR", str(BASE_DIR / "var"))).resolve()

DEBUG = env.read_bool("EMEND_DEBUG", False)
SECRET_KEY = env.read_secret("EMEND_SECRET_KEY", VAR_DIR / "secret_key")
ALLOWED_HOSTS = env.read_list("EMEND_HOSTS", ["localhost", "127.0.0.1", "[::1]"])
CSRF_TRUSTED_ORIGINS = env.read_list("EMEND_TRUSTED_ORIGINS", [])
PUBLIC_URL = env.read_text("EMEND_URL", "http://127.0.0.1:8000").rstrip("/")
ORGANISATION = env.read_text("EMEND_ORGANISATION", "emend")

INSTALLED_APPS = [
    "django.contrib.admin",
    "django.contrib.auth",
    "django.contrib.contenttypes",
    "django.contrib.sessions",
    "django.contrib.humanize",
    "django.contrib.messages",
    "django.contrib.staticfiles",
    "django_htmx",
    "allauth",
    "allauth.account",
    "allauth.mfa",
    "csp",
    "rest_framework",
    "drf_spectacular",
    "common",
    "labeling",
    "training",
    "deployment",
]

MIDDLEWARE = [
    "common.wire.WireMiddleware",
    "django.middleware.security.SecurityMiddleware",
    "common.middleware.StaticMiddleware",
    "common.middleware.CompressMiddleware",
    "django.contrib.sessions.middleware.SessionMiddleware",
    "django.middleware.locale.LocaleMiddleware",
    "django.middleware.common.CommonMiddleware",
    "django.middleware.csrf.CsrfViewMiddleware",
    "django.contrib.auth.middleware.AuthenticationMiddleware",
    "django.contrib.messages.middleware.MessageMiddleware",
    "django.middleware.clickjacking.XFrameOptionsMiddleware",
    "django_htmx.middleware.HtmxMiddleware",
    "common.middleware.HtmxRedirectMiddleware",
    "allauth.account.middleware.AccountMiddleware",
    "csp.middleware.CSPMiddleware",
]

ROOT_URLCONF = "config.urls"
ASGI_APPLICATION = "config.asgi.application"
APPEND_SLASH = True

TEMPLATES = [
    {
        "BACKEND": "django.template.backends.django.DjangoTemplates",
        "DIRS": [BASE_DIR / "templates"],
        "APP_DIRS": True,
        "OPTIONS": {
            "context_processors": [
                "django.template.context_processors.request",
                "django.template.context_processors.i18n",
                "django.contrib.auth.context_processors.auth",
                "django.contrib.messages.context_processors.messages",
                "common.context_processors.frame",
            ],
            "builtins": ["django.templatetags.i18n", "django.templatetags.static", "common.templatetags.page"],
        },
    }
]

_SQLITE_OPTIONS = {
    "transaction_mode": "IMMEDIATE",
    "timeout": 20,
    "init_command": "PRAGMA journal_mode=WAL; PRAGMA foreign_keys=ON; PRAGMA cache_size=-16000;",
}
# connections stay with the threads that config.asgi keeps; one that the server closed meanwhile is opened anew
DATABASES = {
    "default": dj_database_url.config(
        default=f"sqlite:///{VAR_DIR / 'emend.sqlite3'}", conn_max_age=600, conn_health_checks=True
    )
}
if DATABASES["default"]["ENGINE"].endswith("sqlite3"):
    DATABASES["default"]["OPTIONS"] = _SQLITE_OPTIONS
DEFAULT_AUTO_FIELD = "django.db.models.BigAutoField"

AUTH_USER_MODEL = "labeling.User"
AUTHENTICATION_BACKENDS = [
    "django.contrib.auth.backends.ModelBackend",
    "allauth.account.auth_backends.AuthenticationBackend",
]
AUTH_PASSWORD_VALIDATORS = [
    {"NAME": "django.contrib.auth.password_validation.UserAttributeSimilarityValidator"},
    {"NAME": "django.contrib.auth.password_validation.MinimumLengthValidator", "OPTIONS": {"min_length": 10}},
    {"NAME": "django.contrib.auth.password_validation.CommonPasswordValidator"},
]
LOGIN_URL = "account_login"
LOGIN_REDIRECT_URL = "labeling-project-list"
ACCOUNT_ADAPTER = "labeling.accounts.InvitationAdapter"
ACCOUNT_LOGIN_METHODS = {"email"}
ACCOUNT_USER_MODEL_USERNAME_FIELD = None
ACCOUNT_SIGNUP_FIELDS = ["email*", "password1*"]
ACCOUNT_EMAIL_VERIFICATION = "none"
ACCOUNT_LOGOUT_REDIRECT_URL = "account_login"
ACCOUNT_SESSION_REMEMBER = True
MFA_ADAPTER = "labeling.accounts.SealedSecretsAdapter"
MFA_SUPPORTED_TYPES = ["totp", "recovery_codes"]
MFA_ALLOW_UNVERIFIED_EMAIL = True  # an address is vouched for by its invitation
MFA_TOTP_ISSUER = "Emend"
SESSION_COOKIE_AGE = 60 * 60 * 24 * 30
SESSION_COOKIE_SECURE = CSRF_COOKIE_SECURE = PUBLIC_URL.startswith("https://")
SESSION_COOKIE_NAME = "emend_session"
CSRF_COOKIE_NAME = "emend_csrf"

EMAIL_BACKEND = env.read_text("EMEND_EMAIL_BACKEND", "django.core.mail.backends.console.EmailBackend")
DEFAULT_FROM_EMAIL = env.read_text("EMEND_EMAIL_FROM", "Emend <emend@localhost>")
EMAIL_HOST = env.read_text("EMEND_EMAIL_HOST", "localhost")
EMAIL_PORT = env.read_int("EMEND_EMAIL_PORT", 25, least=1)
EMAIL_HOST_USER = env.read_text("EMEND_EMAIL_USER", "")
EMAIL_HOST_PASSWORD = env.read_text("EMEND_EMAIL_PASSWORD", "")
EMAIL_USE_TLS = env.read_bool("EMEND_EMAIL_TLS", False)
EMAIL_TIMEOUT = 20

LANGUAGE_CODE = "en"
LANGUAGES = [("en", _("English")), ("zh-hans", _("Simplified Chinese"))]
LOCALE_PATHS = [BASE_DIR / "locale"]
LANGUAGE_COOKIE_NAME = "emend_language"
TIME_ZONE = env.read_text("EMEND_TIME_ZONE", "UTC")
USE_I18N = USE_TZ = True

STATIC_URL = "/static/"
STATIC_ROOT = VAR_DIR / "static"
STATICFILES_DIRS = [BASE_DIR / "static"]
STORAGES: dict[str, dict[str, Any]] = {
    "default": {"BACKEND": "django.core.files.storage.FileSystemStorage"},
    "staticfiles": {"BACKEND": "common.static.Storage"},
    "artefacts": {"BACKEND": "common.artefacts.VarStorage"},
}
if S3_BUCKET := env.read_text("EMEND_S3_BUCKET", ""):  # the keys are in the variables of AWS's own tools
    STORAGES["artefacts"] = {
        "BACKEND": "storages.backends.s3.S3Storage",
        "OPTIONS": {
            "bucket_name": S3_BUCKET,
            "location": env.read_text("EMEND_S3_PREFIX", ""),
            "endpoint_url": env.read_text("EMEND_S3_URL", "") or None,
            "region_name": env.read_text("EMEND_S3_REGION", "") or None,
            "max_memory_size": 16 * 1024 * 1024,  # of a file that is read; the rest of it goes to the disk
        },
    }

X_FRAME_OPTIONS = "DENY"
SECURE_REFERRER_POLICY = "same-origin"
CONTENT_SECURITY_POLICY = {
    "DIRECTIVES": {
        "default-src": [SELF],
        "img-src": [SELF, "data:"],
        "object-src": [NONE],
        "base-uri": [SELF],
        "form-action": [SELF],
        "frame-ancestors": [NONE],
    }
}
DATA_UPLOAD_MAX_MEMORY_SIZE = 10 * 1024 * 1024
REQUEST_MAX_BYTES = 640 * 1024 * 1024  # of a whole request: the largest file and the form around it
REQUEST_SILENCE_S = 60  # between two pieces of a request's body
# counters and short-lived answers that all web processes share
CACHES = {"default": {"BACKEND": "django.core.cache.backends.filebased.FileBasedCache", "LOCATION": VAR_DIR / "cache"}}
WEBHOOK_PRIVATE = env.read_bool("EMEND_WEBHOOK_PRIVATE", False)  # webhooks may call addresses of one's own network
CORS_ORIGINS = env.read_origins("EMEND_CORS_ORIGINS")  # whose pages may call /v1 from a browser; "*": all
API_REQUESTS_PER_MINUTE = env.read_int("EMEND_API_REQUESTS_PER_MINUTE", 1200)  # of one key; 0: no limit

# /api/v1, see labeling.api
REST_FRAMEWORK = {
    "DEFAULT_AUTHENTICATION_CLASSES": [
        "labeling.api.access.KeyAuthentication",
        "rest_framework.authentication.SessionAuthentication",
    ],
    "DEFAULT_PERMISSION_CLASSES": ["rest_framework.permissions.IsAuthenticated"],
    "DEFAULT_THROTTLE_CLASSES": ["labeling.api.access.KeyThrottle"],
    "DEFAULT_RENDERER_CLASSES": ["rest_framework.renderers.JSONRenderer"],
    "DEFAULT_PARSER_CLASSES": ["rest_framework.parsers.JSONParser"],
    "DEFAULT_SCHEMA_CLASS": "drf_spectacular.openapi.AutoSchema",
    "EXCEPTION_HANDLER": "labeling.api.problems.problem",
    "STRICT_JSON": True,
}
SPECTACULAR_SETTINGS = {
    "TITLE": "Emend: labeling",
    "DESCRIPTION": "What the pages do, for programs. See docs/rest-api.md.",
    "VERSION": "1",
    "SERVE_INCLUDE_SCHEMA": False,
    "SCHEMA_PATH_PREFIX": "/api/v1",
    "SORT_OPERATIONS": False,
    "ENUM_GENERATE_CHOICE_DESCRIPTION": False,
    "ENUM_NAME_OVERRIDES": {
        "MemberRole": "labeling.states.Role",
        "TurnRole": "labeling.api.shapes.ROLES",
        "RejectReason": "labeling.states.RejectReason",
        "SkipReason": "labeling.states.SkipReason",
        "JobState": "training.states.JobState",
        "JobMethod": "training.states.JobMethod",
        "JobTuning": "training.states.JobTuning",
        "EvaluationState": "training.states.EvaluationState",
        "AlertMeasure": "deployment.states.AlertMeasure",
        "CycleState": "deployment.states.CycleState",
        "ReleaseKind": "deployment.states.ChangeKind",
        "Stage": "deployment.states.Stage",
        "CaseSource": "labeling.states.Source",
        "ComparisonSource": "labeling.states.ComparisonSource",
        "Verdict": "labeling.states.Verdict",
        "BulkState": "labeling.states.BulkState",
        "ComparisonState": "labeling.states.ComparisonState",
        "DeliveryState": "labeling.states.DeliveryState",
        "PromptImportState": "labeling.states.PromptImportState",
        "TaskKind": "labeling.states.TaskKind",
        "TaskState": "labeling.states.TaskState",
    },
    "PREPROCESSING_HOOKS": ["labeling.api.endpoint.only_own"],
}

# Celery: the row is the truth, the message a nudge; so no results are kept and a lost message costs a sweep.
CELERY_BROKER_URL = env.read_text("EMEND_BROKER_URL", "filesystem://localhost")
if CELERY_BROKER_URL.startswith("filesystem"):
    _BROKER_DIR = VAR_DIR / "broker"
    CELERY_BROKER_TRANSPORT_OPTIONS = {
        "data_folder_in": str(_BROKER_DIR / "queue"),
        "data_folder_out": str(_BROKER_DIR / "queue"),
        "control_folder": str(_BROKER_DIR / "control"),
        "store_processed": False,
        "polling_interval": 0.1,  # seconds; a ping and a nudge travel through the folder
    }
    for _folder in ("queue", "control"):
        (_BROKER_DIR / _folder).mkdir(parents=True, exist_ok=True)
elif CELERY_BROKER_URL.startswith("redis"):
    CACHES["default"] = {
        "BACKEND": "django.core.cache.backends.redis.RedisCache",
        "LOCATION": CELERY_BROKER_URL,
        "KEY_PREFIX": "emend",
    }
CELERY_TASK_IGNORE_RESULT = True
CELERY_TASK_DEFAULT_QUEUE = "default"
CELERY_TASK_ROUTES = {"training.tasks.run_job": {"queue": "gpu"}, "training.tasks.run_evaluation": {"queue": "gpu"}}
CELERY_WORKER_PREFETCH_MULTIPLIER = 1
CELERY_WORKER_HIJACK_ROOT_LOGGER = False
CELERY_BROKER_CONNECTION_RETRY_ON_STARTUP = True
CELERY_BEAT_SCHEDULE = {
    "sweep-training": {"task": "training.tasks.sweep", "schedule": 15.0},
    "sweep-files": {"task": "training.tasks.sweep_files", "schedule": 60.0},
    "sweep-base-models": {"task": "training.tasks.sweep_base_models", "schedule": 60.0},
    "count-statistics": {"task": "training.tasks.count_statistics", "schedule": 10.0, "options": {"expires": 10.0}},
    "sweep-deployment": {"task": "deployment.tasks.sweep", "schedule": 3.0, "options": {"expires": 3.0}},
    "start-due-cycles": {
        "task": "deployment.tasks.start_due_cycles",
        "schedule": 30.0,
        "options": {"expires": 30.0},
    },
    "guard-deployments": {
        "task": "deployment.tasks.guard_deployments",
        "schedule": 20.0,
        "options": {"expires": 20.0},
    },
    "watch-deployments": {
        "task": "deployment.tasks.watch_deployments",
        "schedule": 15.0,
        "options": {"expires": 15.0},
    },
    "care-for-logs": {"task": "deployment.tasks.care_for_logs", "schedule": 60.0, "options": {"expires": 60.0}},
    "look-at-engines": {"task": "deployment.tasks.look_at_engines", "schedule": 15.0, "options": {"expires": 15.0}},
    "sample-answers": {"task": "deployment.tasks.sample_answers", "schedule": 900.0, "options": {"expires": 900.0}},
    "judge-comparisons": {
        "task": "deployment.tasks.judge_comparisons",
        "schedule": 60.0,
        "options": {"expires": 60.0},
    },
    "sweep-webhooks": {"task": "labeling.tasks.sweep_webhooks", "schedule": 5.0, "options": {"expires": 5.0}},
    "sweep-labeling": {"task": "labeling.tasks.sweep", "schedule": 60.0},
    "sweep-agreement": {"task": "labeling.tasks.sweep_agreement", "schedule": 300.0},
    "agreement": {"task": "labeling.tasks.compute_agreement_nightly", "schedule": crontab(hour=3, minute=20)},
}

# Machine learning happens in child processes and in the engine; the web processes never import torch.
MODELS_DIR = VAR_DIR / "models"
RUNS_DIR = VAR_DIR / "runs"
ML_COMMAND = [sys.executable, "-m", "ml"]
ML_THREADS = env.read_int("EMEND_ML_THREADS", 0)  # 0: one a core
# Who else is told the figures of jobs; the keys of the services are in their own variables.
TRACKER = env.read_choice("EMEND_TRACKER", ("mlflow", "wandb"))
TRACKER_URL = env.read_text("EMEND_TRACKER_URL", "http://127.0.0.1:5000")
KEPT_CHECKPOINTS = env.read_int("EMEND_KEPT_CHECKPOINTS", 3, least=1)  # of one job; the best and the last stay always
SMOKE_TEST = env.read_bool("EMEND_SMOKE_TEST", True)  # whether a job asks its model a few prompts before it succeeds
# A Hub that datasets and models are pushed to; without a token nothing is offered.
HUB_TOKEN = env.read_text("EMEND_HUB_TOKEN", "")
HUB_URL = env.read_text("EMEND_HUB_URL", "https://huggingface.co")
TRAINING_MEMORY_GB = env.read_int("EMEND_TRAINING_MEMORY_GB", 0)  # of the machine that trains; 0: this one
ENGINE_PRIVATE = env.read_bool(
    "EMEND_ENGINE_PRIVATE", False
)  # outside engines may be at addresses of one's own network
OTLP_URL = env.read_text("EMEND_OTLP_URL", "")  # where spans of answers are sent to; nowhere unless set
METRICS_TOKEN = env.read_text("EMEND_METRICS_TOKEN", "")  # of the Prometheus server; without one there is no /metrics
ENGINE_URL = env.read_text("EMEND_ENGINE_URL", "http://127.0.0.1:8101")
ENGINE_TOKEN_FILE = VAR_DIR / "engine_token"

LOGGING = {
    "version": 1,
    "disable_existing_loggers": False,
    "formatters": {"line": {"format": "%(asctime)s %(levelname)s %(name)s: %(message)s"}},
    "handlers": {"console": {"class": "logging.StreamHandler", "formatter": "line"}},
    "root": {"handlers": ["console"], "level": env.read_text("EMEND_LOG_LEVEL", "INFO")},
    "loggers": {"httpx": {"level": "WARNING"}, "django.request": {"level": "ERROR"}},
}
