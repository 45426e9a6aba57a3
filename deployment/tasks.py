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


@shared_task(time_limit=600)
def run_shadows() -> None:
    """Answer copies of real prompts with the candidates in shadow."""
    from deployment.actions.shadow import run_shadows as run

    run()


@shared_task(time_limit=60)
def guard_deployments() -> None:
    """Take away models that are worse than their predecessors beyond doubt."""
    from deployment.actions.guard import guard_deployments as guard

    guard()


@shared_task(time_limit=600)
def examine_answers() -> None:
    """Let the detectors look at the answers that have come in."""
    from deployment.actions.detection import examine_answers as examine

    examine()


@shared_task(time_limit=600)
def sample_answers() -> None:
    """Put a sample of the traffic before the reviewers."""
    from deployment.actions.sampling import sample_answers as sample

    sample()


@shared_task(time_limit=60)
def start_due_cycles() -> None:
    """Start the cycles that a project's policy asks for now."""
    from deployment.actions.policy import start_due_cycles as start

    start()


@shared_task(time_limit=60)
def sweep() -> None:
    """Advance cycles, end answers that a crash cut off, see that the live models are loaded."""
    from deployment.actions.upkeep import sweep as sweep_now

    sweep_now()


@shared_task(time_limit=60)
def watch_deployments() -> None:
    """Look for shares that are above the limit of an alert."""
    from deployment.actions.alert import watch_deployments as watch

    watch()


@shared_task(time_limit=60)
def tell_of_alert(alert_pk: int) -> None:
    """Mail an alert to the project's admins."""
    from deployment.actions.alert_mail import mail_alert

    mail_alert(alert_pk=alert_pk)


@shared_task(time_limit=600)
def care_for_logs() -> None:
    """Take out of the logs what their projects do not want to keep."""
    from deployment.actions.log_care import care_for_logs as care

    care()


@shared_task(time_limit=120)
def look_at_engines() -> None:
    """Ask the engines outside how they are."""
    from deployment.actions.outside_engine import look_at_engines as look

    look()


@shared_task(time_limit=600)
def explain(pk: int) -> None:
    """Look for the rows of a model's training that are nearest to one of its answers."""
    from deployment.actions.explanation import explain as look

    look(pk=pk)


@shared_task(time_limit=600)
def judge_comparisons() -> None:
    """Ask the judges about the comparisons that they have not seen."""
    from deployment.actions.judge import judge_comparisons as judge

    judge()
