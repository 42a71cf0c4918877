"""Progress of long jobs: what a terminal shows, and what a log gets."""

import io
import re
import sys

import pytest

from asc_core import progress
from asc_core.progress import Progress, note, track


class Stream(io.StringIO):
    """Standard error from now on."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch, *, terminal: bool = False) -> None:
        super().__init__()
        self.terminal = terminal
        monkeypatch.setattr(sys, "stderr", self)
        monkeypatch.setenv("TERM", "xterm")
        monkeypatch.setenv("COLUMNS", "120")

    def isatty(self) -> bool:
        return self.terminal


def test_a_log_gets_a_line_at_the_end(monkeypatch: pytest.MonkeyPatch) -> None:
    log = Stream(monkeypatch)
    assert list(track("abc", 3, "clips [1]", unit="files")) == ["a", "b", "c"]
    assert re.fullmatch(r"clips \[1\]: 3/3 files, [\d.]+/s\n", log.getvalue())


def test_a_log_gets_a_line_now_and_then_with_the_time_left(monkeypatch: pytest.MonkeyPatch) -> None:
    log = Stream(monkeypatch)
    monkeypatch.setattr(progress, "LINE_SECONDS", 0.0)
    list(track("abc", 3, "features"))
    patterns = [r"1/3 clips, [\d.]+/s, \d+ min left", r"2/3 clips, [\d.]+/s, \d+ min left", r"3/3 clips, [\d.]+/s"]
    for pattern, line in zip(patterns, log.getvalue().splitlines(), strict=True):
        assert re.fullmatch(f"features: {pattern}", line)


def test_a_job_that_fails_or_has_nothing_to_do_gets_no_line(monkeypatch: pytest.MonkeyPatch) -> None:
    log = Stream(monkeypatch)
    list(track("", 0, "features"))
    with pytest.raises(ZeroDivisionError), Progress("features", 3) as bar:
        bar.advance()
        raise ZeroDivisionError
    assert log.getvalue() == ""


def test_a_terminal_gets_a_bar_that_leaves_and_lines_above_it(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    terminal = Stream(monkeypatch, terminal=True)
    for item in track("ab", 2, "clips [1]"):
        note(f"note on {item}")
        print(f"result {item}")
    assert sys.stderr is terminal
    assert capsys.readouterr().out == "result a\nresult b\n", "results went to the terminal of the bar"
    shown = terminal.getvalue()
    assert "clips [1]" in shown and re.search(r"2/2 clips, [\d.]+/s", shown)
    # A line is on its own, at the beginning of a row.
    for item in "ab":
        assert re.search(rf"(\x1b\[2K|\r|\n)note on {item}\n", shown)
    assert shown.count("\x1b[?25l") == shown.count("\x1b[?25h") == 1, "the cursor stays hidden"


def test_what_an_earlier_run_did_is_no_part_of_the_rate(monkeypatch: pytest.MonkeyPatch) -> None:
    log = Stream(monkeypatch)
    with Progress("fetch", 3_000_000_000, unit="bytes", done=2_000_000_000) as bar:
        bar.advance(0)
        assert bar._rate() == 0
        bar.advance(1_000_000_000)
    assert re.fullmatch(r"fetch: 3\.00 of 3\.00 GB, [\d.]+ MB/s\n", log.getvalue())
