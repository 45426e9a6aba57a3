"""Static files as the web process answers with them."""

import pytest
from django.test import AsyncClient

from common.middleware import StaticMiddleware

CSS = "/static/css/emend.css"


@pytest.fixture
def _static(tmp_path, settings) -> None:
    (tmp_path / "css").mkdir()
    (tmp_path / "css" / "emend.css").write_text("body { color: red }")
    (tmp_path / "css" / "emend.css.gz").write_bytes(b"\x1f\x8b small")
    settings.STATIC_ROOT, settings.DEBUG = tmp_path, False


@pytest.mark.usefixtures("_static")
class TestStaticFiles:
    async def test_a_file_comes_whole(self) -> None:
        response = await AsyncClient().get(CSS)
        assert not response.streaming  # a stream of WhiteNoise's would warn under ASGI, and warnings are errors here
        assert response.content == b"body { color: red }"
        assert response["Content-Type"].startswith("text/css")
        assert response["Content-Length"] == "19"
        assert "max-age" in response["Cache-Control"]
        assert response["X-Content-Type-Options"] == "nosniff"

    async def test_compressed_conditional_and_partial(self) -> None:
        client = AsyncClient()
        zipped = await client.get(CSS, headers={"accept-encoding": "gzip"})
        assert (zipped["Content-Encoding"], zipped.content) == ("gzip", b"\x1f\x8b small")
        same = await client.get(CSS, headers={"if-none-match": zipped["ETag"]})
        assert (same.status_code, same.content) == (304, b"")
        part = await client.get(CSS, headers={"range": "bytes=0-3"})
        assert (part.status_code, part.content) == (206, b"body")
        assert (await client.head(CSS)).content == b""

    async def test_what_is_not_there_is_left_to_the_pages(self) -> None:
        assert (await AsyncClient().get("/static/css/other.css")).status_code == 404


def test_the_product_uses_it(settings) -> None:
    path = f"{StaticMiddleware.__module__}.{StaticMiddleware.__qualname__}"
    assert path in settings.MIDDLEWARE
