import pytest

from labeling.actions.instructions import publish_instructions
from labeling.queries import needs_acknowledgement

SHOW, PUBLISH, READ = (f"/p/kitchen/instructions/{end}" for end in ("", "publish/", "acknowledge/"))


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
