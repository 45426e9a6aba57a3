from celery import shared_task


@shared_task(time_limit=60)
def sweep() -> None:
    """Free the tasks whose lease ran out."""
    from labeling.actions.task import release_expired

    release_expired()
