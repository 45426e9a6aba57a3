"""Other ways to ask the same, proposed to a reviewer as probes.

They are none of the rewordings that training uses (ml/rewording.py): a probe that looked like what was trained on
would pass without the model having learnt anything. What asks for a thing is kept, the sentence around it changes.
"""

import regex

LONGEST = 600  # a longer text is material to work on, and no sentence that could be put otherwise
HAN = regex.compile(r"\p{Han}")
# "What is the capital of Peru?" asks indirectly as "what the capital of Peru is".
TO_BE = regex.compile(
    r"^(?P<word>who|what|where|when|why|how|which [\p{L}]+)\s+(?P<be>is|are|was|were)\s+(?P<thing>[^?]+)$", regex.I
)
FRAMES_EN: tuple[str, ...] = (
    "Do you happen to know this? {same}",
    "My colleague and I disagree about something: {lower}",
    "{same} I need to tell a customer.",
    "Quick one: {lower}",
)
FRAMES_INDIRECT: tuple[str, ...] = ("Can you tell me {indirect}?", "I keep forgetting {indirect}. Remind me.")
FRAMES_ZH: tuple[str, ...] = (
    "麻烦问一下,{same}",
    "{same}客户在等我答复。",
    "同事问了我一个问题:{same}",
    "有件事我一直记不清:{same}",
)


def propose_rewordings(text: str, *, limit: int = 4) -> list[str]:
    """Return other ways to ask, each in one line, the freest first; none where a rule would only spoil the text.

    A text over several paragraphs, with code in it, or longer than `LONGEST` is left to people.
    """
    if not text.strip() or "```" in text or "\n\n" in text.strip() or len(text) > LONGEST:
        return []
    same = " ".join(text.split())
    lower = same if _keeps_capital(same) else same[:1].lower() + same[1:]
    frames, parts = FRAMES_ZH, {"same": same}
    if not HAN.search(same):
        frames, parts = FRAMES_EN, {"same": same if same[-1] in ".?!…" else f"{same}.", "lower": lower}
        if found := TO_BE.match(same.rstrip("?!. ")):
            indirect = f"{found['word'].lower()} {found['thing']} {found['be'].lower()}"
            frames = (*FRAMES_INDIRECT, *FRAMES_EN)
            parts["indirect"] = indirect
    return [frame.format(**parts) for frame in frames][:limit]


def _keeps_capital(text: str) -> bool:
    """Whether the first word is a name of its own as far as one can see: "I", or all capitals."""
    first = text.split(maxsplit=1)[0]
    return first.split("'")[0] == "I" or (len(first) > 1 and first.isupper())
