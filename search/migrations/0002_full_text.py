"""The full-text structures, which differ by database and which Django's schema editor does not know.

On SQLite a change of the table `search_document` recreates the table and drops its triggers: a later migration that
touches it has to make them again.
"""

from django.db import migrations

SQLITE = (
    """
    CREATE VIRTUAL TABLE search_words USING fts5(
        title_words, other_words,
        content='search_document', content_rowid='product_id',
        tokenize='unicode61 remove_diacritics 2', prefix='2 3'
    )
    """,
    """
    CREATE TRIGGER search_document_insert AFTER INSERT ON search_document BEGIN
        INSERT INTO search_words (rowid, title_words, other_words)
        VALUES (new.product_id, new.title_words, new.other_words);
    END
    """,
    """
    CREATE TRIGGER search_document_delete AFTER DELETE ON search_document BEGIN
        INSERT INTO search_words (search_words, rowid, title_words, other_words)
        VALUES ('delete', old.product_id, old.title_words, old.other_words);
    END
    """,
    """
    CREATE TRIGGER search_document_update AFTER UPDATE ON search_document BEGIN
        INSERT INTO search_words (search_words, rowid, title_words, other_words)
        VALUES ('delete', old.product_id, old.title_words, old.other_words);
        INSERT INTO search_words (rowid, title_words, other_words)
        VALUES (new.product_id, new.title_words, new.other_words);
    END
    """,
)
SQLITE_BACK = (
    "DROP TRIGGER search_document_insert",
    "DROP TRIGGER search_document_delete",
    "DROP TRIGGER search_document_update",
    "DROP TABLE search_words",
)
# InnoDB makes one FULLTEXT index per statement.
MYSQL = (
    "CREATE FULLTEXT INDEX search_document_all ON search_document (title_words, other_words)",
    "CREATE FULLTEXT INDEX search_document_title ON search_document (title_words)",
)
MYSQL_BACK = (
    "DROP INDEX search_document_title ON search_document",
    "DROP INDEX search_document_all ON search_document",
)


def run(schema_editor, *, sqlite, mysql):
    for statement in {"sqlite": sqlite, "mysql": mysql}[schema_editor.connection.vendor]:
        schema_editor.execute(statement)


def create(apps, schema_editor):
    run(schema_editor, sqlite=SQLITE, mysql=MYSQL)


def drop(apps, schema_editor):
    run(schema_editor, sqlite=SQLITE_BACK, mysql=MYSQL_BACK)


class Migration(migrations.Migration):
    atomic = False  # MySQL and MariaDB change structures outside of transactions
    dependencies = [("search", "0001_initial")]

    operations = [migrations.RunPython(create, drop, atomic=False)]
