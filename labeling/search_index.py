"""The index that makes searching fast on PostgreSQL. Without it everything is found too, by reading all rows."""

from django.db import DatabaseError, transaction
from django.db.backends.base.schema import BaseDatabaseSchemaEditor

TABLES = ("labeling_task", "labeling_submission", "labeling_case", "labeling_example", "labeling_comparison")


def create_index(schema_editor: BaseDatabaseSchemaEditor) -> bool:
    """Index the searched column of each table; return whether it could be done.

    PostgreSQL lets the owner of a database create the extension pg_trgm; where it is not installed there is no index.
    """
    if schema_editor.connection.vendor != "postgresql":
        return False
    try:
        with transaction.atomic(using=schema_editor.connection.alias), schema_editor.connection.cursor() as cursor:
            cursor.execute("CREATE EXTENSION IF NOT EXISTS pg_trgm")
            for table in TABLES:
                cursor.execute(
                    f"CREATE INDEX IF NOT EXISTS {table}_words ON {table} USING gin (search_text gin_trgm_ops)"
                )
    except DatabaseError:
        return False
    return True


def drop_index(schema_editor: BaseDatabaseSchemaEditor) -> None:
    """Drop the indexes; the extension stays, for others may use it."""
    if schema_editor.connection.vendor == "postgresql":
        with schema_editor.connection.cursor() as cursor:
            for table in TABLES:
                cursor.execute(f"DROP INDEX IF EXISTS {table}_words")
