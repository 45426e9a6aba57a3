import struct
from pathlib import Path

import pytest
from tensorboardX.proto.event_pb2 import Event, SessionLog

from ml.rundir import Events


def read(folder: Path) -> list[Event]:
    """The records of all files, oldest first: a length, its checksum, the record, its checksum."""
    events = []
    for path in sorted(folder.iterdir(), key=lambda path: path.stat().st_mtime_ns):
        content = path.read_bytes()
        while content:
            (length,) = struct.unpack("<Q", content[:8])
            events.append(Event.FromString(content[12 : 12 + length]))
            content = content[16 + length :]
    return events


@pytest.mark.filterwarnings("ignore::DeprecationWarning")
def test_each_number_of_a_step_is_written_and_a_resumed_run_starts_where_it_resumes(tmp_path: Path) -> None:
    events = Events(tmp_path / "events.jsonl")
    events.emit("started", n_steps=2)
    assert not (tmp_path / "tensorboard").exists()
    for step, loss in ((1, 2.0), (2, 1.0)):
        events.emit("metrics", step=step, n_steps=2, loss=loss, valid_loss=None, recipe="many_rows")
    events.emit("stopped")
    found = [
        (event.step, value.tag, value.simple_value)
        for event in read(tmp_path / "tensorboard")
        for value in event.summary.value
    ]
    assert found == [(1, "loss", 2.0), (2, "loss", 1.0)]
    again = Events(tmp_path / "events.jsonl")
    again.emit("metrics", step=2, loss=1.0)
    again.emit("finished")
    starts = [event.step for event in read(tmp_path / "tensorboard") if event.session_log.status == SessionLog.START]
    assert starts == [2]
