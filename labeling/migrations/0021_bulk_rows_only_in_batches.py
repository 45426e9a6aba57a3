from django.db import migrations


class Migration(migrations.Migration):
    dependencies = [("labeling", "0020_bulk_actions_in_batches")]

    operations = [migrations.RemoveField(model_name="bulkaction", name="done")]
