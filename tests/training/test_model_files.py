"""What becomes of a model's weights outside: GGUF, a Hub, TensorBoard's files of its job."""

import io
import tarfile

import pytest
from asgiref.sync import async_to_sync
from django.core.management import CommandError, call_command
from django.urls import reverse

from common.models import Transition
from tests.factories import TunedModelFactory
from tests.training.hub import Hub, serve_hub


@pytest.fixture
def model(project, settings, tmp_path):
    settings.VAR_DIR = tmp_path
    settings.RUNS_DIR = tmp_path / "runs"
    model = TunedModelFactory(project=project)
    model.folder.mkdir(parents=True)
    (model.folder / "config.json").write_text("{}")
    (model.folder / "README.md").write_text("A card.")
    return model


def test_a_model_goes_to_a_hub_with_its_card(model, settings, capsys) -> None:
    arguments = {"model": model.name, "repo": "us/rows"}
    settings.HUB_TOKEN = ""
    with pytest.raises(CommandError, match="EMEND_HUB_TOKEN"):
        call_command("push_model", **arguments)
    with serve_hub() as address:
        settings.HUB_URL, settings.HUB_TOKEN = address, "good"
        call_command("push_model", **arguments, public=True)
    assert capsys.readouterr().out.startswith(f"{address}/")
    assert Hub.uploads == {"config.json": b"{}", "README.md": b"A card."}
    assert Transition.objects.get(what="model pushed").after == "us/rows (public)"
    with pytest.raises(CommandError, match="no model"):
        call_command("push_model", model="nobody", repo="us/rows")


async def read(response) -> bytes:
    return b"".join([block async for block in response.streaming_content])


def test_gguf_is_made_once_or_it_is_said_why_not(model, sign_in, alice, tmp_path) -> None:
    url = reverse("training-model-gguf", args=["kitchen", model.pk])
    page = sign_in(alice).get(url, follow=True).content.decode()
    assert (
        "This model cannot be written as GGUF: only models of the Llama architecture can be written, not None." in page
    )
    assert url in page
    made = model.folder.parent / "gguf" / f"{model.job.key}.gguf"
    made.write_bytes(b"GGUF")
    response = sign_in(alice).get(url)
    assert (async_to_sync(read)(response), response["Content-Length"]) == (b"GGUF", "4")
    call_command("export_model", model=model.name, path=tmp_path / "copy.gguf")
    assert (tmp_path / "copy.gguf").read_bytes() == b"GGUF"


def test_figures_for_tensorboard_are_sent_as_one_file(model, sign_in, alice) -> None:
    url = reverse("training-job-tensorboard", args=["kitchen", model.job.key])
    assert "not written any figures" in sign_in(alice).get(url, follow=True).content.decode()
    model.job.tensorboard_dir.mkdir(parents=True)
    (model.job.tensorboard_dir / "events.out.tfevents.1").write_bytes(b"figures")
    sent = async_to_sync(read)(sign_in(alice).get(url))
    with tarfile.open(fileobj=io.BytesIO(sent)) as tar:
        assert tar.getnames() == [f"{model.job.key}-tensorboard/events.out.tfevents.1"]
