from labeling.actions.errors import EmptyAnswer, NotCorrectable
from labeling.models import Case, MachineDraft, User


def keep_machine_draft(*, case: Case, model_name: str, remark: str, text: str, by: User) -> MachineDraft:
    """Keep what a model proposes as the right answer to a case. Raises EmptyAnswer and NotCorrectable."""
    if not text.strip():
        raise EmptyAnswer
    if not case.can_be_corrected:
        raise NotCorrectable(case)
    return MachineDraft.objects.create(
        case=case, by=by, model_name=model_name, remark=remark.strip(), text=text.strip()
    )
