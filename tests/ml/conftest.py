import os
from pathlib import Path

import pytest

from ml.prepare import prepare

os.environ.setdefault("MKL_CBWR", "AUTO,STRICT")  # as ml/__main__.py does, before anything is multiplied


@pytest.fixture(scope="session")
def bundled_model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of the bundled base model: EMEND_TEST_MODEL where that is set, else unpacked once for all tests."""
    if folder := os.environ.get("EMEND_TEST_MODEL"):
        return Path(folder)
    folder = tmp_path_factory.mktemp("bundled") / "model"
    prepare(out=folder)
    return folder
