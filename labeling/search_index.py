"""The indexes that make searching fast.

On PostgreSQL an index on the searched column, made by a migration; without it everything is found too, by reading all
rows. On SQLite a full-text table beside each searched table, which holds no text of its own (FTS5, external content) and
which triggers keep true, whoever writes the rows. A migration that changes a table on SQLite makes it anew and so loses
its triggers: `keep_word_tables` runs after every `migrate` and brings back what is missing.
"""

from typing import Any

from django.db import DatabaseError, connections, transaction
from django.db.backends.base.base import BaseDatabaseWrapper
from django.db.backends.base.schema import BaseDatabaseSchemaEditor

TABLES = ("labeling_task", "labeling_submission", "labeling_case", "labeling_example", "labeling_comparison")
# A row's words stand between spaces, so whatever is no space belongs to a word. Which words a row has is all that is
# asked, not where or how often.
_OPTIONS = """content_rowid='id', detail=none, columnsize=0,
    tokenize="unicode61 remove_diacritics 0 categories 'L* M* N* P* S* C*'" """
_ADD = "INSERT INTO {table}_words (rowid, search_text) VALUES (new.id, new.search_text);"
_TAKE = "INSERT INTO {table}_words ({table}_words, rowid, search_text) VALUES ('delete', old.id, old.search_text);"
_TRIGGERS = {
    "insert": f"AFTER INSERT ON {{table}} BEGIN {_ADD} END",
    "delete": f"AFTER DELETE ON {{table}} BEGIN {_TAKE} END",
    "update": f"AFTER UPDATE OF search_text ON {{table}} WHEN old.search_text <> new.search_text BEGIN {_TAKE} {_ADD} END",
}


def keep_word_tables(*, using: str = "default", **_kwargs: Any) -> None:
    """On SQLite, make and fill the full-text tables whose triggers are not there. Nothing to do elsewhere."""
    connection = connections[using]
    if connection.vendor != "sqlite":
        return
    with transaction.atomic(using=using), connection.cursor() as cursor:
        for table in TABLES:
            cursor.execute("SELECT count(*) FROM pragma_table_info(%s) WHERE name = 'search_text'", [table])
            has_words = cursor.fetchone()[0] == 1
            cursor.execute(
                "SELECT count(*) FROM sqlite_master WHERE type = 'trigger' AND name LIKE %s", [f"{table}_words_%"]
            )
            if not has_words or cursor.fetchone()[0] == len(_TRIGGERS):
                continue
            _drop_word_table(cursor, table)
            cursor.execute(f"CREATE VIRTUAL TABLE {table}_words USING fts5(search_text, content='{table}', {_OPTIONS})")
            for name, trigger in _TRIGGERS.items():
                cursor.execute(f"CREATE TRIGGER {table}_words_{name} {trigger.format(table=table)}")
            cursor.execute(f"INSERT INTO {table}_words ({table}_words) VALUES ('rebuild')")


def has_word_table(connection: BaseDatabaseWrapper, table: str) -> bool:
    return connection.vendor == "sqlite" and table in TABLES


def _drop_word_table(cursor: Any, table: str) -> None:
    for name in _TRIGGERS:
        cursor.execute(f"DROP TRIGGER IF EXISTS {table}_words_{name}")
    cursor.execute(f"DROP TABLE IF EXISTS {table}_words")


def create_index(schema_editor: BaseDatabaseSchemaEditor) -> bool:
    """On PostgreSQL, index the searched column of each table; return whether it could be done.

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
    """Drop the indexes or the full-text tables; the extension stays, for others may use it."""
    with schema_editor.connection.cursor() as cursor:
        for table in TABLES:
            if schema_editor.connection.vendor == "postgresql":
                cursor.execute(f"DROP INDEX IF EXISTS {table}_words")
            else:
                _drop_word_table(cursor, table)
