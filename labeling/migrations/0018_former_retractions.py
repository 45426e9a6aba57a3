from django.db import migrations


def name_former_retractions(apps, schema_editor):
    """Give each example that somebody took back before a retraction of its own; one that was replaced has none."""
    examples = apps.get_model("labeling", "Example").objects.filter(retracted_at__isnull=False)
    retractions = apps.get_model("labeling", "Retraction").objects
    log = apps.get_model("common", "Transition").objects.filter(subject_type="labeling.example", after="retracted")
    people = apps.get_model("labeling", "User").objects
    for line in log.order_by("pk").iterator():
        example = examples.filter(pk=line.subject_pk, retraction=None).first()
        if example is not None:
            by = people.filter(pk=line.by_pk).first()
            made = retractions.create(project_id=example.project_id, reason=line.reason, by=by)
            retractions.filter(pk=made.pk).update(at=line.at)
            examples.filter(pk=example.pk).update(retraction=made)


class Migration(migrations.Migration):
    dependencies = [
        ("common", "0003_audit_filters_and_guard"),
        ("labeling", "0017_retractions"),
    ]

    operations = [migrations.RunPython(name_former_retractions, migrations.RunPython.noop)]
