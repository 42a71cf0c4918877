"""What a run prints as next is done as a newcomer would: the same code as `make newcomer`, in a finished workspace."""

import re

import pytest
from workspace import ROOT

from asc_core import UserError
from flows.servers.process import free_address
from tools.newcomer import Newcomer, answer, first_commands, next_commands


def test_the_first_commands_of_readme_are_two():
    assert first_commands((ROOT / "README.md").read_text()) == ["make repro", "make test"]


def test_the_steps_that_a_run_prints_are_done(finished, tmp_path):
    workspace = finished.copy(tmp_path / "project")
    workspace.install()
    workspace.configure("gates.counted_bytes=10241")  # so that the gate, which prints them, has something to do
    told: list[str] = []
    environment = workspace.environment | {"UI_PORT": free_address().rpartition(":")[2]}
    newcomer = Newcomer(workspace.folder, environment, told.append)
    printed = newcomer.type("make repro")
    assert "Running stage 'gate'" in printed and "Running stage 'evaluate@0'" not in printed
    commands = newcomer.follow(printed)
    assert {" ".join(command.split()[:2]) for command in commands} >= {"asc predict", "make ui", "asc registry"}
    assert any(re.fullmatch(r"http://127\.0\.0\.1:\d+ answers 200", line) for line in told), told
    assert any(line.startswith("reports/index.html: one page") for line in told)

    (workspace.folder / "reports/index.html").write_text('<!doctype html><img src="https://x.example/y.png"></html>')
    with pytest.raises(UserError, match=r"it loads https://x\.example/y\.png"):
        newcomer.open_report(printed)


def test_a_step_that_fails_a_page_that_is_away_and_a_run_without_steps_are_told(tmp_path, monkeypatch):
    monkeypatch.setattr("tools.newcomer.WAIT_SECONDS", 0)
    newcomer = Newcomer(tmp_path, {"PATH": "/usr/bin:/bin"}, lambda line: None)
    with pytest.raises(UserError, match="false: ended with 1"):
        newcomer.type("false")
    with pytest.raises(UserError, match="does not answer"):
        answer(free_address())
    with pytest.raises(UserError, match="no next step"):
        next_commands("report: reports/index.html, for a browser\n")
    with pytest.raises(UserError, match="report: none is not there"):
        newcomer.open_report("nothing\n")
