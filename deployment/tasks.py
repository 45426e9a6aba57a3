from celery import shared_task


@shared_task(time_limit=600)
def advance(cycle_pk: int) -> None:
    """Take a cycle as far as it can go now."""
    from deployment.actions.upkeep import advance_one

    advance_one(cycle_pk=cycle_pk)


@shared_task(time_limit=600)
def load_model(name: str, path: str) -> None:
    """Make the engine ready for a live model."""
    from deployment.actions.upkeep import warm_up

    warm_up(name=name, path=path)


@shared_task
def run_batches() -> None:
    """Answer the batches that wait, one after the other; does nothing while another worker does."""
    from deployment.actions.batch_run import run_batches as run

    run()


@shared_task(time_limit=60)
def sweep() -> None:
    """Advance cycles, end answers that a crash cut off, see that the live models are loaded."""
    from deployment.actions.upkeep import sweep as sweep_now

    sweep_now()
