import pytest

from labeling.actions.instructions import publish_instructions
from labeling.queries import needs_acknowledgement
from tests.factories import ExampleFactory

SHOW, PUBLISH, READ = (f"/p/kitchen/instructions/{end}" for end in ("", "publish/", "acknowledge/"))

DIFF = "/p/kitchen/instructions/diff/"


@pytest.fixture
def version(project, alice):
    return publish_instructions(project=project, text="# Tone\n\nBe **kind**. <script>x</script>", by=alice, based_on=0)


def test_an_empty_page_says_what_will_be_here(sign_in, bob, alice) -> None:
    assert "No instructions yet" in sign_in(bob).get(SHOW).text
    assert PUBLISH not in sign_in(bob).get(SHOW).text
    assert PUBLISH in sign_in(alice).get(SHOW).text


def test_the_text_is_rendered_safely(sign_in, bob, version) -> None:
    page = sign_in(bob).get(SHOW).text
    assert "<strong>kind</strong>" in page
    assert "<script>x" not in page


def test_earlier_versions_stay_readable(sign_in, bob, alice, project, version) -> None:
    publish_instructions(project=project, text="Be brief.", by=alice, based_on=1, change_note="Shorter now")
    client = sign_in(bob)
    assert "Shorter now" in client.get(SHOW).text
    old = client.get(SHOW, {"version": 1}).text
    assert "<strong>kind</strong>" in old
    assert "earlier version" in old
    assert "I have read it" not in old
    for wanted in ("7", "x"):
        assert client.get(SHOW, {"version": wanted}).status_code == 404


def test_reading_is_acknowledged_and_goes_on_to_write(sign_in, bob, project, version, member_of) -> None:
    client = sign_in(bob)
    assert client.get("/p/kitchen/write/").headers["Location"] == f"{SHOW}?next=write"
    page = client.get(f"{SHOW}?next=write").text
    assert "I have read it, go on" in page
    assert needs_acknowledgement(member_of(bob, project)) == version
    assert client.post(READ, {"version": 1, "next": "write"}).headers["Location"] == "/p/kitchen/write/"
    assert needs_acknowledgement(member_of(bob, project)) is None
    assert "I have read it" not in client.get(SHOW).text


def test_one_acknowledges_what_one_saw(sign_in, bob, alice, project, version, member_of) -> None:
    publish_instructions(project=project, text="Be brief.", by=alice, based_on=1, change_note="x")
    client = sign_in(bob)
    client.post(READ, {"version": 1})
    assert needs_acknowledgement(member_of(bob, project)).number == 2
    for wanted in ("", "9", "x"):
        assert client.post(READ, {"version": wanted}).status_code == 404


def test_publishing_begins_with_the_current_text(sign_in, alice, project, version) -> None:
    client = sign_in(alice)
    assert "Be **kind**" in client.get(PUBLISH).text
    response = client.post(PUBLISH, {"text": "Be brief.", "change_note": "Shorter", "based_on": 1})
    assert response.headers["Location"] == SHOW
    assert project.instruction_versions.get(number=2).text == "Be brief."


def test_the_second_of_two_admins_sees_the_version_in_between_and_keeps_their_text(
    sign_in, alice, project, version
) -> None:
    publish_instructions(project=project, text="Hers.", by=alice, based_on=1, change_note="x")
    client = sign_in(alice)
    data = {"text": "His own words.", "change_note": "y", "based_on": 1}
    response = client.post(PUBLISH, data, headers={"HX-Request": "true"})
    assert response.status_code == 422
    assert "<html" not in response.text
    for piece in ("His own words.", "Hers.", 'name="based_on" value="2"'):
        assert piece in response.text
    assert project.instruction_versions.count() == 2
    client.post(PUBLISH, data | {"based_on": 2})
    assert project.instruction_versions.get(number=3).text == "His own words."


@pytest.mark.parametrize(
    "change",
    [{"text": ""}, {"change_note": ""}, {"text": "# Tone\n\nBe **kind**. <script>x</script>"}, {"based_on": ""}],
)
def test_a_version_without_change_or_note_is_refused(sign_in, alice, project, version, change) -> None:
    data = {"text": "New.", "change_note": "y", "based_on": 1} | change
    assert sign_in(alice).post(PUBLISH, data).status_code == 422
    assert project.instruction_versions.count() == 1


def test_roles_and_methods(sign_in, bob, rita, charlie, alice) -> None:
    for person in (bob, rita):
        assert sign_in(person).get(PUBLISH).status_code == 403
        assert sign_in(person).post(PUBLISH, {"text": "Mine.", "based_on": 0}).status_code == 403
    for url in (SHOW, PUBLISH):
        assert sign_in(charlie).get(url).status_code == 404
    assert sign_in(charlie).post(READ, {"version": 1}).status_code == 404
    assert sign_in(alice).get(READ).status_code == 405
    assert sign_in(alice).post(SHOW).status_code == 405
    assert sign_in(alice).put(PUBLISH).status_code == 405


def test_sections_and_hints_are_on_the_page(sign_in, bob, alice, project) -> None:
    text = "Read this.\n\n# Tone\n\nKind.\n\n## In mails\n\nKinder.\n\n# Length\n\nShort."
    rows = [{"prompt": "Why?", "good": "Because.", "bad": "No idea.", "why": "Says nothing."}]
    publish_instructions(
        project=project, text=text, by=alice, based_on=0, illustrations=rows, min_words=5, max_words=90, language="zh"
    )
    page = sign_in(bob).get(SHOW).text
    for piece in ('href="#section-2">Length', 'id="section-2">Length', "<h3>In mails</h3>", "5 to 90 words", "Chinese"):
        assert piece in page
    for piece in ("Because.", "No idea.", "Says nothing."):
        assert piece in page


def test_who_read_an_earlier_version_sees_what_changed_since(sign_in, bob, alice, project, version) -> None:
    sign_in(bob).post(READ, {"version": 1})
    for n, word in ((1, "calm"), (2, "brief")):
        publish_instructions(project=project, text=f"Be {word}.", by=alice, based_on=n, change_note=f"Now {word}.")
    page = sign_in(bob).get(SHOW).text
    for piece in ("since version 1", "Now calm.", "Now brief.", "<ins>"):
        assert piece in page
    sign_in(bob).post(READ, {"version": 3})
    assert "<ins>" not in sign_in(bob).get(SHOW).text


def test_any_two_versions_are_compared(sign_in, bob, charlie, alice, project) -> None:
    assert sign_in(bob).get(DIFF).status_code == 404
    for n, word in enumerate(("kind", "calm", "brief")):
        publish_instructions(project=project, text=f"Be {word}.", by=alice, based_on=n, change_note="x")
    client = sign_in(bob)
    assert "<del>calm</del><ins>brief</ins>" in client.get(DIFF).text
    assert "<del>kind</del><ins>brief</ins>" in client.get(DIFF, {"from": 1, "to": 3}).text
    assert "Nothing differs." in client.get(DIFF, {"from": 2, "to": 2}).text
    for wrong in ({"from": 9}, {"to": "x"}):
        assert client.get(DIFF, wrong).status_code == 404
    assert client.post(DIFF).status_code == 405
    assert sign_in(charlie).get(DIFF).status_code == 404


def test_publishing_with_examples_and_hints(sign_in, alice, project) -> None:
    client = sign_in(alice)
    data = {
        "text": "Be kind.",
        "based_on": 0,
        "illustration_prompt": ["Why?", ""],
        "illustration_good": ["Because.", ""],
        "illustration_bad": ["No idea.", ""],
        "illustration_why": ["", ""],
        "min_words": 9,
        "max_words": 5,
        "language": "en",
    }
    refused = client.post(PUBLISH, data)
    assert refused.status_code == 422
    for piece in ("cannot be fewer", "No idea."):
        assert piece in refused.text
    assert client.post(PUBLISH, data | {"language": "klingon"}).status_code == 422
    client.post(PUBLISH, data | {"max_words": 50})
    version = project.instruction_versions.get()
    assert (version.min_words, version.max_words, version.language) == (9, 50, "en")
    assert version.illustrations.get().good == "Because."
    page = client.get(PUBLISH).text
    assert page.count("illustration_prompt") == 2
    assert "Because." in page


def test_which_examples_follow_earlier_versions(sign_in, alice, bob, project) -> None:
    for n in range(2):
        version = publish_instructions(project=project, text=f"{n}.", by=alice, based_on=n, change_note="x")
        turns = [{"role": "user", "content": f"Question {n + 1}?"}, {"role": "assistant", "content": "Yes."}]
        ExampleFactory(project=project, instruction_version=version, messages=turns)
    client = sign_in(alice)
    page = client.get(SHOW).text
    assert "1 accepted example follows an earlier version" in page
    assert "accepted example" not in sign_in(bob).get(SHOW).text
    client = sign_in(alice)
    for wanted, there, gone in (("superseded", "Question 1?", "Question 2?"), ("2", "Question 2?", "Question 1?")):
        page = client.get("/p/kitchen/examples/", {"version": wanted}).text
        assert there in page
        assert gone not in page
