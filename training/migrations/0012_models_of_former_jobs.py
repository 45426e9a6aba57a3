from django.db import migrations
from django.db.models import OuterRef, Subquery


def name_models(apps, schema_editor):
    """Until now a job had one model at the most, which named the job."""
    Job, TunedModel = apps.get_model("training", "Job"), apps.get_model("training", "TunedModel")
    made = TunedModel.objects.filter(job=OuterRef("pk")).values("pk")[:1]
    Job.objects.filter(pk__in=TunedModel.objects.values("job")).update(tuned_model=Subquery(made))


class Migration(migrations.Migration):
    dependencies = [("training", "0011_checkpoints_and_their_models")]

    operations = [migrations.RunPython(name_models, migrations.RunPython.noop)]
