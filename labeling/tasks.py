from celery import shared_task

from labeling.models import Project, WebhookDelivery


@shared_task(time_limit=60)
def sweep() -> None:
    """Free the tasks whose lease ran out; take up imports and bulk actions that broke off."""
    from labeling.actions.bulk import resume_bulk_actions
    from labeling.actions.prompt_import import resume_imports
    from labeling.actions.task import release_expired

    release_expired()
    resume_imports()
    resume_bulk_actions()


@shared_task(time_limit=3600)
def work_on_import(import_pk: int) -> None:
    """Read, import or take back a file of prompts, from where it stands."""
    from labeling.actions.prompt_import_run import work_on

    work_on(import_pk=import_pk)


@shared_task(time_limit=3600)
def work_on_bulk(bulk_pk: int) -> None:
    """Do or undo what is left of a bulk action."""
    from labeling.actions.bulk import work_on

    work_on(bulk_pk=bulk_pk)


@shared_task
def compute_agreement(project_pk: int) -> None:
    """Work out how far the people of a project agree."""
    from labeling.actions.agreement_figures import compute_agreement as compute

    compute(project=Project.objects.get(pk=project_pk))


@shared_task
def sweep_agreement() -> None:
    """Work out what was asked for and forgotten."""
    from labeling.actions.agreement_figures import compute_due

    compute_due()


@shared_task
def compute_agreement_nightly() -> None:
    from labeling.actions.agreement_figures import compute_nightly

    compute_nightly()


@shared_task(time_limit=40)
def deliver_webhook(delivery_pk: int) -> None:
    """Try to send one message to another product."""
    from labeling.actions.webhook import deliver

    delivery = WebhookDelivery.objects.select_related("webhook").filter(pk=delivery_pk).first()
    if delivery is not None:  # its address was deleted meanwhile
        deliver(delivery=delivery)


@shared_task(time_limit=60)
def sweep_webhooks() -> None:
    """Send the messages that are due."""
    from labeling.actions.webhook import nudge_due

    nudge_due()
