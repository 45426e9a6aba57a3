from django.db import migrations

from labeling.near import near_keys


def write_keys(apps, schema_editor):
    """Cases that are there already get the keys by which near ones are found."""
    cases, keys = apps.get_model("labeling", "Case"), apps.get_model("labeling", "CaseKey")
    rows = []
    for case in cases.objects.only("project_id", "messages").iterator(chunk_size=500):
        question = case.messages[-1]["content"] if case.messages else ""
        rows += [keys(case_id=case.pk, project_id=case.project_id, key=key) for key in near_keys(question)]
        if len(rows) > 4000:
            keys.objects.bulk_create(rows)
            rows = []
    keys.objects.bulk_create(rows)


class Migration(migrations.Migration):

    dependencies = [
        ('labeling', '0007_case_triage'),
    ]

    operations = [
        migrations.RunPython(write_keys, migrations.RunPython.noop),
    ]
