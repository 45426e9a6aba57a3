from django.apps import AppConfig
from django.db.models.signals import post_migrate

from labeling.search_index import keep_word_tables


class LabelingConfig(AppConfig):
    name = "labeling"

    def ready(self) -> None:
        post_migrate.connect(keep_word_tables, sender=self)
