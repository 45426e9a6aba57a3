from labeling.findings.fingerprints import split_words


def find_length(text: str, *, fewest: int | None, most: int | None) -> tuple[str, int, int] | None:
    """Return ("short" or "long", the number of words, the limit that is broken), None where the length is right.

    A Chinese, Japanese or Korean character counts as a word.
    """
    n_words = len(split_words(text))
    if fewest is not None and n_words < fewest:
        return "short", n_words, fewest
    if most is not None and n_words > most:
        return "long", n_words, most
    return None
