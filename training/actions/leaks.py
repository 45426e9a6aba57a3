"""What is held out to be tested never enters training: the probes of active tests, and a version's own test rows."""

from collections.abc import Sequence

from django.utils.translation import gettext as _
from django.utils.translation import ngettext

from common.conversations import Message, digest
from labeling.models import Example, Probe, Project
from training.actions.errors import LeakedProbe, LeakedTest
from training.actions.splits import Neighbours, opening, sketch

# A probe is a paraphrase of what is trained on; more alike than this it is the same question.
SAME_QUESTION = 0.9


class LeakGuard:
    """Looks at training rows one by one, and says at the end which of them ask what is held out."""

    def __init__(self, project: Project) -> None:
        probes = Probe.objects.filter(test__project=project, test__is_active=True).select_related("test")
        self._probes = {probe.prompt_hash: probe for probe in probes}
        self._asked = {probe.messages[-1]["content"] for probe in self._probes.values()}
        self._near = Neighbours()
        for probe in self._probes.values():
            if _is_single(probe.messages):
                self._near.add(sketch(opening(probe.messages)), probe.prompt_hash)
        self._leaks: dict[str, Probe] = {}
        self._tested: dict[str, str] = {}

    @property
    def has_probes(self) -> bool:
        return bool(self._probes)

    def suspects(self, messages: Sequence[Message], text: str) -> bool:
        """Whether a training row, whose opening is `text`, may ask what a probe asks: `look_at` knows."""
        return bool(self._probes) and (self._equal(messages[:-1]) is not None or bool(self._alike(messages[:-1], text)))

    def look_at(self, row_hash: str, messages: Sequence[Message], text: str, example_pk: int | None = None) -> None:
        """Look at one training row, whose opening is `text`."""
        if not self._probes:
            return
        probe = self._equal(messages[:-1])
        if probe is None:
            near = [self._probes[key] for key in sorted(self._alike(messages[:-1], text))]
            probe = next((each for each in near if not self._is_own(each, example_pk)), None)
        if probe is not None:
            self._leaks[row_hash] = probe

    def add_tested(self, row_hash: str, messages: Sequence[Message]) -> None:
        """Take down a correction that asks what a test row asks."""
        self._tested[row_hash] = messages[-2]["content"]

    def _equal(self, prompt: Sequence[Message]) -> Probe | None:
        return self._probes.get(digest(prompt)) if prompt[-1]["content"] in self._asked else None

    def _alike(self, prompt: Sequence[Message], text: str) -> set[str]:
        return self._near.find(sketch(text), least=SAME_QUESTION) if _is_single(prompt) else set()

    def _is_own(self, probe: Probe, example_pk: int | None) -> bool:
        """Whether the row is the correction of the probe's own case: the probe is a rewording of it."""
        rows = Example.objects.filter(correction__case=probe.test.case_id)
        return example_pk is not None and rows.filter(pk=example_pk).exists()

    def refuse(self) -> None:
        """Raises LeakedProbe or LeakedTest with the rows at fault."""
        if self._leaks:
            raise self._leaked_probe()
        if self._tested:
            message = ngettext(
                "A correction asks what a row held out for tests asks: “%(prompt)s”.",
                "%(count)d corrections ask what rows held out for tests ask: “%(prompt)s” and others.",
                len(self._tested),
            ) % {"count": len(self._tested), "prompt": next(iter(self._tested.values()))[:200]}
            raise LeakedTest(message + " " + _("Leave them out, or hold out less."), row_hashes=list(self._tested))

    def _leaked_probe(self) -> LeakedProbe:
        probes = list({probe.pk: probe for probe in self._leaks.values()}.values())
        prompts = [probe.messages[-1]["content"] for probe in probes]
        case_pks = sorted({probe.test.case_id for probe in probes})
        message = ngettext(
            "A training row asks exactly what a held-out probe asks: “%(prompt)s” (case %(cases)s). "
            "Take back that example, or correct the case again with another probe.",
            "%(count)d training rows ask exactly what held-out probes ask: “%(prompt)s” and others (cases %(cases)s). "
            "Take back those examples, or correct the cases again with other probes.",
            len(self._leaks),
        ) % {
            "count": len(self._leaks),
            "prompt": prompts[0][:200],
            "cases": ", ".join(f"#{pk}" for pk in case_pks[:10]),
        }
        return LeakedProbe(message, prompts=prompts, case_pks=case_pks, row_hashes=list(self._leaks))


def _is_single(prompt: Sequence[Message]) -> bool:
    """Whether the prompt is one question; what the system is told beside it makes no difference."""
    return [message["role"] for message in prompt if message["role"] != "system"] == ["user"]
