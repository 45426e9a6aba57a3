"""The lease of somebody who is at work: renewed while they type, taken again where it ran out and nobody else came."""

from labeling.actions.errors import LeaseLost
from labeling.actions.task import extend_lease, resume_task
from labeling.models import Membership, Task
from labeling.states import TaskState


def renew_lease(*, task: Task, membership: Membership) -> Task:
    """Renew the person's lease. One that ran out is taken again where the task is free, they have begun to write, and
    they hold nothing else.

    Raises LeaseLost, and HeldByOther where somebody else is at work on the task.
    """
    user = membership.user
    try:
        return extend_lease(task=task, user=user, token=task.lease_token)
    except LeaseLost:
        task.refresh_from_db()
        is_free = task.state == TaskState.OPEN or (task.state == TaskState.LEASED and task.leased_by_id != user.pk)
        if (
            not membership.is_active
            or not is_free
            or not task.drafts.filter(user=user).exists()
            or task.project.tasks.held_by(user).exists()
        ):
            raise
        return resume_task(task=task, membership=membership)
