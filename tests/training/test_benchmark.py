"""Results of public benchmarks: files as the two tools wrote them, shortened."""

import io
import json
import zipfile
from copy import deepcopy
from pathlib import Path

import pytest
import zstandard
from django.core.files.uploadedfile import SimpleUploadedFile
from django.core.management import CommandError, call_command
from django.urls import reverse

from training.actions.benchmark import add_benchmark, remove_benchmark
from training.actions.errors import FileRefused
from training.benchmark_files import ZSTANDARD, UnreadableBenchmark, read_benchmark
from training.models import BenchmarkResult

FILES = Path(__file__).parent / "benchmarks"
LM_EVAL, INSPECT = (FILES / name for name in ("lm_eval.json", "inspect.json"))
NAME = "smollm2-135m-instruct"


def packed(name: str, text: bytes, *, method: int = zipfile.ZIP_DEFLATED) -> bytes:
    """An .eval log. The standard library writes no Zstandard, so that is put in by hand: same length, other number."""
    buffer, body = io.BytesIO(), zstandard.compress(text) if method == ZSTANDARD else text
    with zipfile.ZipFile(buffer, "w") as archive:
        archive.writestr("samples/1_epoch_1.json", "{}")
        kind = zipfile.ZIP_STORED if method == ZSTANDARD else method
        archive.writestr(zipfile.ZipInfo(name), body, compress_type=kind)
        info = archive.getinfo(name)
    content = bytearray(buffer.getvalue())
    if method == ZSTANDARD:
        at = content.rindex(b"PK\x01\x02") + 10  # its line of the directory
        content[at : at + 2] = content[info.header_offset + 8 : info.header_offset + 10] = ZSTANDARD.to_bytes(
            2, "little"
        )
    return bytes(content)


def test_a_result_of_lm_evaluation_harness_is_read() -> None:
    (row,) = read_benchmark(LM_EVAL.read_bytes())
    assert (row.tool, row.model, row.task, row.metric) == ("lm_eval", NAME, "sums", "exact_match")
    assert (row.value, row.stderr, row.n) == (0.4, 0.1309, 15)
    assert row.settings == {"shots": 0, "version": 1.0}


def test_groups_and_words_of_a_result_are_left_out_and_filters_named() -> None:
    found = json.loads(LM_EVAL.read_bytes())
    values = {"alias": "x", "acc,strict": 0.5, "acc_stderr,strict": "N/A", "f1,none": float("nan"), "acc,none": True}
    found["results"] |= {"maths": {"acc,none": 0.4}, "geometry": values}
    found["group_subtasks"] = {"maths": ["sums", "geometry"], "sums": []}
    found["config"]["model_args"] = f"base_url=http://a/v1,model={NAME}"
    rows = read_benchmark(json.dumps(found).encode())
    assert [(row.task, row.metric, row.stderr) for row in rows] == [
        ("sums", "exact_match", 0.1309),
        ("geometry", "acc (strict)", None),
    ]
    assert {row.model for row in rows} == {NAME}


@pytest.mark.parametrize("method", [None, zipfile.ZIP_DEFLATED, ZSTANDARD])
def test_a_log_of_inspect_is_read_in_each_of_its_forms(method) -> None:
    text = INSPECT.read_bytes()
    (row,) = read_benchmark(text if method is None else packed("header.json", text, method=method))
    assert (row.tool, row.model, row.task, row.metric) == ("inspect", NAME, "sums", "accuracy (includes)")
    assert (row.value, round(row.stderr, 3), row.n) == (0.4, 0.131, 15)


def broken(**changes) -> bytes:
    found = deepcopy(json.loads(INSPECT.read_bytes()))
    found.update(changes)
    return json.dumps(found).encode()


@pytest.mark.parametrize(
    ("content", "code"),
    [
        (b"model,score\n", "not_json"),
        (b"[1]", "unknown"),
        (b"{}", "unknown"),
        (b"PK\x03\x04nothing", "unknown"),
        (b'{"results": {"a": 1}, "config": {}, "date": 1}', "unknown"),
        (b'{"results": {"a": {"acc,none": 1}}, "config": {}, "date": "soon"}', "unknown"),
        (broken(status="error"), "unfinished"),
        (broken(results=None), "no_result"),
        (broken(eval={"task": "a"}), "unknown"),
        (packed("_journal/start.json", b"{}"), "unfinished"),
        (packed("readme.txt", b"hello"), "unknown"),
    ],
)
def test_what_is_no_result_is_refused_with_its_reason(content, code) -> None:
    with pytest.raises(UnreadableBenchmark) as caught:
        read_benchmark(content)
    assert caught.value.code == code


@pytest.mark.django_db
def test_figures_are_kept_once_for_a_model_that_is_known(project, base_model, alice) -> None:
    content = LM_EVAL.read_bytes()
    (row,) = add_benchmark(project=project, content=content, by=alice)
    assert (row.model_name, row.created_by) == (NAME, alice)
    assert add_benchmark(project=project, content=content, by=alice) == []
    add_benchmark(project=project, content=INSPECT.read_bytes())
    for asked in ("assistant", "gpt-4"):
        with pytest.raises(FileRefused, match=asked):
            add_benchmark(project=project, content=content.replace(NAME.encode(), asked.encode()))
    as_assistant = content.replace(NAME.encode(), b"assistant").replace(b"17954", b"17953")
    assert len(add_benchmark(project=project, content=as_assistant, model_name=NAME)) == 1
    remove_benchmark(result=row, by=alice)
    assert set(BenchmarkResult.objects.values_list("tool", flat=True)) == {"lm_eval", "inspect"}
    assert BenchmarkResult.objects.count() == 2


@pytest.mark.django_db
def test_the_page_adds_a_file_and_shows_the_table(project, base_model, alice, rita, sign_in) -> None:
    listed, add = (reverse(f"training-benchmark-{name}", args=[project.slug]) for name in ("list", "add"))
    client = sign_in(alice)
    assert "No figure yet" in client.get(listed).content.decode()

    def bring(content: bytes, **typed):
        return client.post(add, {"file": SimpleUploadedFile("a.json", content), **typed})

    refused = bring(b"nonsense")
    assert (refused.status_code, "neither JSON nor a log" in refused.content.decode()) == (422, True)
    assert bring(LM_EVAL.read_bytes(), model="nobody").status_code == 422
    assert bring(LM_EVAL.read_bytes()).status_code == 302
    page = client.get(listed).content.decode()
    assert ("0.4000" in page, "shots 0" in page, "Remove sums" in page) == (True, True, True)
    assert "Remove sums" not in sign_in(rita).get(listed).content.decode()
    client = sign_in(alice)
    address = reverse("training-benchmark-remove", args=[project.slug, BenchmarkResult.objects.get().pk])
    assert client.post(address).status_code == 302
    assert not BenchmarkResult.objects.exists()


@pytest.mark.django_db
def test_the_command_takes_several_files(project, base_model, capsys, tmp_path) -> None:
    call_command("add_benchmark", str(LM_EVAL), str(INSPECT), "--project", project.slug)
    assert f"{NAME} sums exact_match: 0.4000 ± 0.1309" in capsys.readouterr().out
    for path, slug in ((tmp_path / "none.json", project.slug), (LM_EVAL, "nowhere")):
        with pytest.raises(CommandError):
            call_command("add_benchmark", str(path), "--project", slug)
