"""What a preflight found, in sentences. The report keeps codes and numbers; these are the words for them."""

from collections.abc import Mapping
from typing import Any

from django.template.defaultfilters import filesizeformat
from django.utils.functional import Promise
from django.utils.translation import gettext_lazy as _

Words = Mapping[str, "str | Promise"]

PROBLEMS: Words = {
    "no_template": _(
        "The base model has no chat template and names no token that ends a text, so its answers would never end."
    ),
    "bad_rows": _("%(n)s training rows cannot be used. The first is line %(line)s: %(reason)s"),
    "bad_valid_rows": _("%(n)s validation rows cannot be used. The first is line %(line)s: %(reason)s"),
    "nothing_learnt": _(
        "Not one token would be learnt: all answers of the %(n)s rows are empty, or their weight is 0."
    ),
    "end_not_learnt": _(
        "The token that ends an answer (%(token)s) would not be learnt, so the model would never stop."
    ),
    "end_not_served": _(
        "Answers end with %(token)s in training, but serving stops at %(served)s, so the model would never stop."
    ),
    "leak": _(
        "The rows ask what held-out probes ask: “%(prompt)s” (cases %(cases)s). Take back those examples, or correct the cases again with other probes."
    ),
    "memory": _(
        "At least %(needed)s of memory are needed and %(free)s are free. Choose a smaller base model or a smaller rank, or end what else runs."
    ),
    "disk": _("About %(needed)s of disk are needed and %(free)s are free. Free some space and train again."),
    "price": _("It would cost %(price)s, and %(limit)s is the most that it may cost."),
    "late": _("Looking at the rows took longer than a quarter of an hour and was given up."),
    "failed": "%(message)s",
}

WARNINGS: Words = {
    "template_differs": _("Serving opens an answer otherwise than training shows it. The model may answer oddly."),
    "silent_rows": _("%(n)s rows teach nothing: their answers are empty, or their weight is 0."),
    "memory_tight": _("Memory may be short. If it runs out, the job goes on with smaller steps."),
}


def problem_sentence(problem: Mapping[str, Any]) -> str:
    """Say what stops the job, or warns."""
    code = str(problem.get("code"))
    words = PROBLEMS.get(code) or WARNINGS.get(code) or "%(message)s"
    values: dict[str, Any] = {"message": code, "reason": "", "line": "", "price": "", "limit": "", **problem}
    values["cases"] = ", ".join(f"#{pk}" for pk in problem.get("cases") or [])
    values["served"] = ", ".join(problem.get("served") or [])
    values["needed"] = filesizeformat(problem.get("needed_bytes") or 0)
    values["free"] = filesizeformat(problem.get("free_bytes") or 0)
    return str(words) % values
