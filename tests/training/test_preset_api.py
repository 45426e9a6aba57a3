import json

import pytest
from django.test import Client

from labeling.actions.api_key import create_key
from training.models import Preset

PRESETS = "/api/v1/p/kitchen/presets/"


@pytest.fixture
def rest(project, alice) -> Client:
    return Client(HTTP_AUTHORIZATION=f"Bearer {create_key(project=project, user=alice, name='x')[1]}")


def send(client: Client, method: str, url: str, **body):
    return client.generic(method, url, json.dumps(body), content_type="application/json")


def test_a_preset_is_kept_renamed_and_deleted(rest) -> None:
    made = send(rest, "POST", PRESETS, name="Bold", hyperparameters={"n_epochs": 9}).json()
    assert (made["name"], made["method"], made["hyperparameters"]["n_epochs"]) == ("Bold", "sft", 9)
    assert rest.get(PRESETS).json()["items"] == [made]
    url = f"{PRESETS}{made['id']}/"
    assert send(rest, "PATCH", url, name="Brave").json()["name"] == "Brave"
    assert rest.get(url).json()["name"] == "Brave"
    assert rest.delete(url).status_code == 204
    assert not Preset.objects.exists()


def test_what_is_wrong_is_said_of_its_field(rest) -> None:
    send(rest, "POST", PRESETS, name="Bold")
    again = send(rest, "POST", PRESETS, name="Bold")
    assert again.status_code == 422
    assert again.json()["error"]["fields"]["name"] == ["There is a preset of this name already."]
    wrong = send(rest, "POST", PRESETS, name="Wild", hyperparameters={"n_epochs": 1000})
    assert list(wrong.json()["error"]["fields"]["hyperparameters"]) == ["n_epochs"]
