"""The cast: alice owns the project, bob labels, rita reviews, charlie is a stranger."""

import gc
from collections.abc import Callable, Iterator
from typing import Any

import hypothesis
import pytest
from django.db import connection, transaction
from django.db.models.signals import post_migrate
from django.test import Client

from labeling import queries
from labeling.models import Membership, Project, User
from labeling.search_index import keep_word_tables
from labeling.states import Role
from tests.factories import MembershipFactory, ProjectFactory, UserFactory
from training.actions import job as jobs
from training.models import Job
from training.states import JobState

# The slow files that take longest, in the order in which they begin: two run at a time, and what is left at the end is short.
# A busy machine is no fault of a test.
hypothesis.settings.register_profile(
    "unhurried", deadline=None, suppress_health_check=[hypothesis.HealthCheck.too_slow]
)
hypothesis.settings.load_profile("unhurried")
LONGEST = ("test_loop", "test_kills", "test_real_trainer", "test_accessibility", "test_processes", "test_keyboard")


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    items.sort(key=lambda item: LONGEST.index(item.path.stem) if item.path.stem in LONGEST else len(LONGEST))


@pytest.fixture(scope="session", autouse=True)
def _no_work_after_a_flush():
    """Transactional tests empty the tables at their end, after which Django would write all permissions anew, which no test reads."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(post_migrate, "send", lambda *args, **kwargs: None)
        yield


@pytest.fixture(scope="session", autouse=True)
def _searchable(django_db_setup: None, django_db_blocker: Any) -> None:
    """What else `migrate` makes after the tables: on SQLite those that are searched."""
    with django_db_blocker.unblock():
        keep_word_tables()


@pytest.fixture(scope="session", autouse=True)
def _collected_garbage_is_the_tests_own(django_db_setup: None) -> None:
    """What was imported stays: collecting after a test needs not look at it again."""
    gc.collect()
    gc.freeze()


@pytest.fixture(scope="session", autouse=True)
def _no_session_outlives_the_tests(django_db_setup: None, django_db_blocker: Any) -> Iterator[None]:
    """A thread that a stream left behind may keep its connection until it is collected; PostgreSQL would not drop the database."""
    yield
    with django_db_blocker.unblock():
        if connection.vendor == "postgresql":
            with connection.cursor() as cursor:
                cursor.execute(
                    "select pg_terminate_backend(pid) from pg_stat_activity "
                    "where datname = current_database() and pid <> pg_backend_pid()"
                )


@pytest.fixture(autouse=True)
def _no_version_of_another_test():
    """Versions of instructions are read once and never change; keys that are drawn anew after a rollback do."""
    queries._published.cache_clear()


@pytest.fixture(autouse=True)
def _no_preflight(monkeypatch: pytest.MonkeyPatch) -> None:
    """Jobs are queued at once instead of being looked at in a child process; tests of the preflight look themselves."""

    def queue(job: Job) -> None:
        with transaction.atomic():
            jobs.change_state(job, JobState.QUEUED)
            jobs.nudge(job)

    monkeypatch.setattr(jobs, "ask_for_preflight", queue)


@pytest.fixture
def project(db: None) -> Project:
    return ProjectFactory(slug="kitchen", name="Kitchen help")


def _member(project: Project, name: str, role: Role) -> User:
    return MembershipFactory(project=project, role=role, user=UserFactory(name=name)).user


@pytest.fixture
def alice(project: Project) -> User:
    return _member(project, "Alice", Role.ADMIN)


@pytest.fixture
def rita(project: Project) -> User:
    return _member(project, "Rita", Role.REVIEWER)


@pytest.fixture
def bob(project: Project) -> User:
    return _member(project, "Bob", Role.CONTRACTOR)


@pytest.fixture
def charlie(db: None) -> User:
    """A member of another project only."""
    return MembershipFactory(user=UserFactory(name="Charlie"), role=Role.ADMIN).user


@pytest.fixture
def member_of() -> Callable[[User, Project], Membership]:
    return lambda user, project: Membership.objects.get(user=user, project=project)


@pytest.fixture
def sign_in(client: Client) -> Callable[[User], Client]:
    """Return the test client, signed in as that person."""

    def enter(user: User) -> Client:
        client.force_login(user)
        return client

    return enter
