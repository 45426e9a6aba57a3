import re
from collections.abc import Iterator
from pathlib import Path

import polib
import pytest
from django.conf import settings
from django.test import Client
from django.utils import translation
from django.utils.translation import trans_real

from labeling.models import Project, User
from ml.plan import resolve

CATALOGUES = sorted(Path(settings.BASE_DIR, "locale").glob("*/LC_MESSAGES/django.po"))
PLACEHOLDER = re.compile(r"%%|%\(\w+\)[sd]|\{\w*\}")
HALF_WIDTH = re.compile(r"[\u4e00-\u9fff][,;:!?]|[,;:!?][\u4e00-\u9fff]")


@pytest.fixture(params=CATALOGUES, ids=lambda path: path.parts[-3])
def catalogue(request: pytest.FixtureRequest) -> polib.POFile:
    return polib.pofile(str(request.param))


def _texts(entry: polib.POEntry) -> list[str]:
    return list(entry.msgstr_plural.values()) if entry.msgid_plural else [entry.msgstr]


def test_there_is_a_catalogue_for_every_language_but_that_of_the_source() -> None:
    names = {translation.to_locale(code) for code, _ in settings.LANGUAGES} - {"en"}
    assert {path.parts[-3] for path in CATALOGUES} == names


def test_every_string_is_translated(catalogue: polib.POFile) -> None:
    assert len(catalogue) > 500
    assert [entry.msgid for entry in catalogue.untranslated_entries()] == []
    assert [entry.msgid for entry in catalogue.fuzzy_entries()] == []


def test_a_translation_has_the_placeholders_of_its_source(catalogue: polib.POFile) -> None:
    """A lost one loses a name or a number; a misspelt one is an error on the page."""
    wrong = [
        entry.msgid
        for entry in catalogue
        for text in _texts(entry)
        if sorted(PLACEHOLDER.findall(text)) != sorted(PLACEHOLDER.findall(entry.msgid_plural or entry.msgid))
    ]
    assert wrong == []


def test_chinese_sentences_have_full_width_punctuation() -> None:
    catalogue = polib.pofile(str(Path(settings.BASE_DIR, "locale/zh_Hans/LC_MESSAGES/django.po")))
    assert [text for entry in catalogue for text in _texts(entry) if HALF_WIDTH.search(text)] == []


@pytest.fixture
def compiled(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """The catalogues as the set-up compiles them, in place of those that may lie in the clone from an earlier day."""
    for path in CATALOGUES:
        target = tmp_path / path.parts[-3] / "LC_MESSAGES" / "django.mo"
        target.parent.mkdir(parents=True)
        polib.pofile(str(path)).save_as_mofile(str(target))
    monkeypatch.setattr(settings, "LOCALE_PATHS", [tmp_path])
    monkeypatch.setattr(trans_real, "_translations", {})
    with translation.override(None):
        yield


@pytest.mark.django_db
def test_the_sign_in_page_follows_the_language_of_the_browser(client: Client, compiled: None) -> None:
    chinese = client.get("/accounts/login/", headers={"accept-language": "zh-CN,zh;q=0.9"})
    english = client.get("/accounts/login/", headers={"accept-language": "en"})
    assert chinese.headers["content-language"] == "zh-hans"
    assert 'lang="zh-hans"' in chinese.text
    assert "账户通过邀请建立" in chinese.text
    assert "Accounts are made by invitation" in english.text


def test_the_pages_of_a_project_speak_chinese(client: Client, alice: User, project: Project, compiled: None) -> None:
    client.force_login(alice)
    page = client.get(f"/p/{project.slug}/", headers={"accept-language": "zh-hans"})
    assert "标注说明" in page.text
    assert "待审核" in page.text


def test_a_plural_has_one_form_in_chinese(compiled: None) -> None:
    with translation.override("zh-hans"):
        forms = [translation.ngettext("%(n)d prompt was added.", "%(n)d prompts were added.", n) for n in (1, 3)]
    assert forms == ["已添加 %(n)d 条提示。"] * 2


def test_the_trainer_gives_its_reasons_in_words_that_are_translated(compiled: None) -> None:
    _, reasons = resolve({}, [{"kind": "correction"}])
    with translation.override("zh-hans"):
        assert [reason for reason in reasons.values() if translation.gettext(reason) == reason] == []
