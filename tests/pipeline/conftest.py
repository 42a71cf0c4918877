"""Shared by the tests of the pipeline."""

import pytest


@pytest.fixture
def here(tmp_path, monkeypatch):
    """A folder of its own with a store of its own."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("MLFLOW_TRACKING_URI", f"sqlite:///{tmp_path}/mlflow.db")
    monkeypatch.setenv("ASC_EXECUTION", "today")
    return tmp_path
