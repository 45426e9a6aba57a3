"""Which texts are nearest, with the real embeddings of the package."""

import pytest

from training.nearest import Text, nearest

TEXTS = [
    Text(0, "Tell me how to make a loaf in my oven.", "Knead the dough, let it rise, and bake it for forty minutes."),
    Text(1, "Who won the cup in 1998?", "France won it."),
    Text(2, "How is a bicycle tyre repaired?", "Find the hole, clean it, and glue a patch on it."),
    Text(3, "怎样烤面包？", "先揉面，再发酵，然后烤四十分钟。"),
    Text(4, "怎样修自行车？", "找到洞，擦干净，再贴上补丁。"),
]


@pytest.mark.parametrize(
    ("question", "answer", "first"),
    [
        ("How do I bake bread at home?", "Make a dough and put it into a hot oven.", 0),
        ("My bike has a flat tire. What now?", "Patch the hole.", 2),
        ("怎样在家烤面包？", "揉面，烤四十分钟。", 3),
    ],
)
def test_what_says_the_same_is_nearest(question, answer, first) -> None:
    found = nearest(question, answer, TEXTS, n=3)
    assert found[0].key == first
    assert len(found) == 3
    assert [near.score for near in found] == sorted((near.score for near in found), reverse=True)


def test_the_same_is_one_and_nothing_is_nought() -> None:
    (same,) = nearest(TEXTS[2].question, TEXTS[2].answer, TEXTS, n=1)
    assert (same.key, same.score) == (2, pytest.approx(1.0, abs=1e-3))
    (empty,) = nearest("", "", [Text(0, "A question?", "An answer.")], n=1)
    assert empty.score < 0.3
    assert nearest("A question?", "An answer.", [], n=3) == []
