"""The database itself refuses to change or remove rows of the record, whoever asks."""

from django.db import migrations

# The third trigger is for INSERT OR REPLACE, which would otherwise put a new row in the place of an old one.
CREATE = """
CREATE TRIGGER sandbox_entry_no_update BEFORE UPDATE ON sandbox_entry
BEGIN SELECT RAISE(ABORT, 'the record is append-only'); END;
CREATE TRIGGER sandbox_entry_no_delete BEFORE DELETE ON sandbox_entry
BEGIN SELECT RAISE(ABORT, 'the record is append-only'); END;
CREATE TRIGGER sandbox_entry_no_replace BEFORE INSERT ON sandbox_entry
WHEN EXISTS (SELECT 1 FROM sandbox_entry WHERE id = NEW.id)
BEGIN SELECT RAISE(ABORT, 'the record is append-only'); END;
"""
DROP = """
DROP TRIGGER sandbox_entry_no_update;
DROP TRIGGER sandbox_entry_no_delete;
DROP TRIGGER sandbox_entry_no_replace;
"""


class Migration(migrations.Migration):
    dependencies = [("sandbox", "0001_initial")]

    operations = [migrations.RunSQL(CREATE, DROP)]
