"""Other ways to put the same request, so that a correction is learnt for what was asked and not for how.

The rewordings know nothing of any task: they wrap a request, change its letters' case and drop words. They are made
from the training prompt alone; probes are never looked at.
"""

import random
import re

HAN = re.compile("[\u3400-\u9fff]")

WRAPPERS_EN = (
    "Please tell me: {same}",
    "{same} Please answer in a sentence.",
    "I have a question. {same}",
    "A friend wants to know {inner}. What is the answer?",
    "Hello! {same}",
    "Could you help me with this? {same}",
    "I would like to know {inner}.",
    "Q: {same}\nA:",
    "{same} Thanks!",
    "Explain {inner}.",
    "So, {lower}",
    "Here is what I want to ask you: {lower}",
)
WRAPPERS_ZH = (
    "请告诉我:{same}",
    "你好,{same}",
    "我想知道,{inner}。",
    "请问{inner}?",
    "{same}请用一句话回答。",
    "有人问我:{same}我该怎么回答?",
    "问题:{same}\n回答:",
)


def lower_first(text: str) -> str:
    """The text as it continues a sentence: a first word that is not all capitals nor "I" loses its capital."""
    first = text.split(maxsplit=1)[0] if text else ""
    if first.split("'")[0] == "I" or (len(first) > 1 and first.isupper()):
        return text
    return text[:1].lower() + text[1:]


def wrap(text: str, *, rng: random.Random) -> str:
    """The request inside another sentence."""
    wrappers = WRAPPERS_ZH if HAN.search(text) else WRAPPERS_EN
    bare = text.strip().rstrip("?？!！.。 ")
    wrapper = rng.choice(wrappers)
    return wrapper.format(same=text.strip(), lower=lower_first(text.strip()), inner=lower_first(bare))


def drop_words(text: str, *, share: float, rng: random.Random) -> str:
    """The request with about that share of its words missing, as in a hasty note; never all of them."""
    words = text.split()
    kept = [word for word in words if rng.random() >= share]
    return " ".join(kept or words)


def reword(text: str, *, rng: random.Random) -> str:
    """The request put in another way, chosen at random."""
    kind = rng.random()
    if kind < 0.5:
        return wrap(text, rng=rng)
    if kind < 0.65:
        return text.strip().rstrip("?？!！.。 ").lower()
    hasty = drop_words(text, share=0.25, rng=rng)
    return hasty if kind < 0.85 else wrap(hasty, rng=rng)
