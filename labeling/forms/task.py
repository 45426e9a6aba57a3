import json
import uuid
from typing import Any

from django import forms
from django.http import QueryDict
from django.utils.translation import gettext_lazy as _

from common.conversations import ConversationError, Message, clean
from labeling.actions.errors import CONVERSATION_MESSAGES
from labeling.models import Task
from labeling.states import FindingKind, TaskKind

MAX_CHARACTERS = 100_000


class ConversationForm(forms.Form):
    """The editor's input. Turns come as one list; who speaks follows from the place in the conversation.

    The turns of a task with a prompt begin with the assistant's, those of a writing task with the user's. `writer` and
    `step` name the open page and count its saves; `instructions` is the number of the version that it showed, and
    `overrule` the revision of another text that the person has seen and does not want.
    """

    data: QueryDict  # type: ignore[assignment]
    revision = forms.IntegerField(min_value=0, required=False)
    overrule = forms.IntegerField(min_value=0, required=False)
    idempotency_key = forms.UUIDField(required=False)
    system = forms.CharField(required=False, strip=False)
    writer = forms.CharField(max_length=40, required=False)
    step = forms.IntegerField(min_value=0, required=False)
    instructions = forms.IntegerField(min_value=0, required=False)

    def __init__(self, data: QueryDict, *, task: Task) -> None:
        super().__init__(data.copy())
        self.task = task
        self.first = 1 if task.kind == TaskKind.ANSWER else 0

    @property
    def own_turns(self) -> list[Message]:
        """What was typed, without the task's prompt."""
        return self._join(self.data.getlist("turn"))

    def _join(self, texts: list[str]) -> list[Message]:
        turns: list[Message] = [
            {"role": ("user", "assistant")[(self.first + n) % 2], "content": text.replace("\r\n", "\n")}
            for n, text in enumerate(texts)
        ]
        system = self.data.get("system", "").replace("\r\n", "\n")
        if self.task.kind == TaskKind.WRITE and system.strip():
            turns.insert(0, {"role": "system", "content": system})
        return turns

    @property
    def messages(self) -> list[Message]:
        """The whole conversation as it was typed, the task's prompt in front."""
        return [*self.task.messages, *self.own_turns]

    @property
    def finished_messages(self) -> list[Message]:
        """The same without a last pair of turns in which nothing was written."""
        texts = self.data.getlist("turn")
        while len(texts) > 2 and not texts[-1].strip() and not texts[-2].strip():
            texts = texts[:-2]
        return [*self.task.messages, *self._join(texts)]

    @property
    def overrides(self) -> dict[str, str]:
        """Why the author hands the text in all the same, by kind of finding; kinds without a reason are left out."""
        reasons = {kind: self.data.get(f"override-{kind}", "").strip() for kind in FindingKind.values}
        return {kind: reason for kind, reason in reasons.items() if reason}

    @property
    def has_text(self) -> bool:
        return any(text.strip() for text in (*self.data.getlist("turn"), self.data.get("system", "")))

    def rearrange(self, action: str) -> None:
        """Do what a button of the editor says: `add`, or `remove:2`, `up:2`, `down:2` with the number of an exchange.

        The answer to a task's prompt stays the first, and one exchange always stays. Anything else changes nothing.
        """
        texts = self.data.getlist("turn")
        start = [texts[:1]] if self.first else []
        pairs = [texts[n : n + 2] for n in range(self.first, len(texts), 2)]
        verb, _colon, number = action.partition(":")
        at = int(number) - 1 - len(start) if number.isdecimal() else -1
        if verb == "add":
            pairs.append(["", ""])
        elif verb == "remove" and 0 <= at < len(pairs) and len(start) + len(pairs) > 1:
            del pairs[at]
        elif verb in ("up", "down") and 0 <= at < len(pairs):
            to = at - 1 if verb == "up" else at + 1
            if 0 <= to < len(pairs):
                pairs[at], pairs[to] = pairs[to], pairs[at]
        self.data.setlist("turn", [text for group in (*start, *pairs) for text in group])

    def clean(self) -> None:
        if sum(len(turn["content"]) for turn in self.own_turns) > MAX_CHARACTERS:
            raise forms.ValidationError(_("This is longer than Emend can keep: at most 100,000 characters."))
        self.cleaned_data["revision"] = self.cleaned_data.get("overrule") or self.cleaned_data.get("revision") or 0
        self.cleaned_data["idempotency_key"] = self.cleaned_data.get("idempotency_key") or uuid.uuid4()


class PromptsForm(forms.Form):
    """Prompts to be answered, one a line: plain text, or JSON with `messages` or `prompt`.

    A bad line stops nothing: `prompts` holds the good ones, `bad_lines` the numbers of the others with the reason and the line.
    """

    text = forms.CharField(
        label=_("prompts"),
        max_length=5_000_000,
        help_text=_('One prompt a line, or JSONL: {"messages": [{"role": "user", "content": "…"}]}'),
        widget=forms.Textarea(attrs={"rows": 12}),
    )

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.prompts: list[list[Message]] = []
        self.bad_lines: list[tuple[int, str, str]] = []

    def clean_text(self) -> str:
        for number, line in enumerate(self.cleaned_data["text"].splitlines(), 1):
            if not line.strip():
                continue
            try:
                self.prompts.append(_read_prompt(line))
            except ConversationError as error:
                self.bad_lines.append((number, str(CONVERSATION_MESSAGES.get(error.code, error)), line))
            except (ValueError, RecursionError):
                self.bad_lines.append((number, str(_("The line begins like JSON but cannot be read.")), line))
        if not self.prompts:
            raise forms.ValidationError(_("No line could be used."))
        return self.cleaned_data["text"]


def _read_prompt(line: str) -> list[Message]:
    """Return the conversation of one line, which has to end with the user. Raises ConversationError or ValueError."""
    row: object = json.loads(line) if line.lstrip().startswith("{") else {"prompt": line}
    messages = row.get("messages") if isinstance(row, dict) else None
    if messages is None and isinstance(row, dict):
        messages = [{"role": "user", "content": row.get("prompt")}]
    try:
        prompt = clean(messages, ends_with="user")
        json.dumps(prompt, ensure_ascii=False).encode()  # half a surrogate pair: a ValueError too
        return prompt
    except ConversationError as error:
        raise ConversationError("last_user" if error.code == "last_turn" else error.code, str(error)) from None
