"""What was found out about an answer, with the rows as a page shows them."""

from dataclasses import dataclass

from deployment.models import Explanation
from training.models import DatasetRow


@dataclass(frozen=True)
class NearRow:
    """A row that the model learnt. `is_retracted`: it will not be in the next version."""

    row: DatasetRow
    question: str
    answer: str
    score: float
    is_retracted: bool


def near_rows(explanation: Explanation) -> list[NearRow]:
    """Return the rows in the order of their nearness."""
    scores = {each["position"]: each["score"] for each in explanation.rows}
    rows = DatasetRow.objects.filter(version=explanation.version_id, position__in=scores)
    rows = rows.select_related("version", "example__correction", "example__submission")
    found = [
        NearRow(
            row=row,
            question=row.messages[-2]["content"],
            answer=row.messages[-1]["content"],
            score=scores[row.position],
            is_retracted=bool(row.example and row.example.retracted_at),
        )
        for row in rows
    ]
    return sorted(found, key=lambda near: -near.score)
