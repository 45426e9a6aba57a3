"""Signs that a text breaks off. Many good answers end without a full stop, so its absence alone is none."""

import re

_FENCE = re.compile(r"^ {0,3}```", re.MULTILINE)
_PLACEHOLDER = re.compile(
    r"\b(?:TODO|TBD|FIXME)\b(?=\s*[:：]|\s*$)|\blorem ipsum\b|(?:^|\n)\s*(?:待补充|待续|未完待续|此处省略)\s*[。.]?\s*$"
    r"|[\[(【（](?:to be continued|continue here|待补充|待续|未完|此处填写|insert (?:text|answer|response) here)[\])】）]",
    re.IGNORECASE | re.MULTILINE,
)
# A sentence does not end in these; verbs and prepositions that may (to, of, in, with) are left out.
_DANGLING_WORD = re.compile(
    r"(?:^|\s)(?:and|or|but|because|the|an|although|unless|whereas|my|your|our|their|is a|are the|such as|as well as)$",
    re.IGNORECASE,
)
_DANGLING_MARK = re.compile(r"[,，、；(（\[【{「『《]$")
_DANGLING_CHINESE = re.compile(
    r"(?:因为|但是|而且|以及|或者|并且|例如|比如|如果|虽然|所以|因此|包括|其中|和|与|及|或)$"
)
_TAIL = 60
_FORMAL = re.compile(r"```|^\s*(?:[|<{\[#$>]|\w+\s*[=(:{])", re.MULTILINE)


def find_unfinished(text: str) -> tuple[str, str] | None:
    """Return (what, words) where a text breaks off or has a place to be filled in, None when it seems whole.

    `what`: fence (a code block is not closed), placeholder, or end.
    """
    if len(_FENCE.findall(text)) % 2:
        return "fence", text[text.rindex("```") :]
    prose = re.sub(r"```.*?```", "", text, flags=re.DOTALL)
    if match := _PLACEHOLDER.search(prose):
        return "placeholder", match.group().strip()
    last = text.rstrip().rsplit("\n", 1)[-1].strip()
    if _FORMAL.search(text) or len(text) < 20:  # code, a table, a list of values: its end follows other rules
        return None
    if _DANGLING_MARK.search(last) or _DANGLING_WORD.search(last) or _DANGLING_CHINESE.search(last):
        return "end", last if len(last) <= _TAIL else f"…{last[-_TAIL:].split(' ', 1)[-1]}"
    return None
