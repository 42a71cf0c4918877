"""What a run shows in a terminal of 80 columns."""

from pipeline.reporting.terminal import next_steps, summary_table, terminal_table

VALUE = {"mean": 98.7, "std": 10.2, "n": 6}


def model(devices: list[str]) -> dict:
    whole = dict.fromkeys(("accuracy", "accuracy_seen", "accuracy_unseen", "log_loss"), VALUE)
    size = {"nonzero_parameters": 123_456, "counted_bytes": 131_072}
    return whole | {"accuracy_by_device": dict.fromkeys(devices, VALUE), "size": size}


def test_the_summary_fits_80_columns_whatever_the_devices_are_called():
    devices = ["a", "s6", "phone of the third year with quite a name", "new\nline", "[bold]b"]
    text = summary_table(dict.fromkeys(("teacher", "student", "pruned", "quantized"), model(devices)), ["s6"])
    lines = text.splitlines()
    assert max(map(len, lines)) <= 80
    assert any(line.split() == ["s6", "*", *(["98.7", "±10.2"] * 4)] for line in lines)
    assert "[bold]b" in text and "new\\nline" in text and "128.0" in text


def test_wide_cells_go_on_below():
    text = terminal_table(["name", "value"], [["x" * 100, "1"]])
    assert max(map(len, text.splitlines())) <= 80 and text.count("x") == 100


def test_next_steps_begin_with_what_brings_the_commands(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("VIRTUAL_ENV", raising=False)
    assert "activate" not in next_steps([("make ui", "compare")])
    (tmp_path / ".venv/bin").mkdir(parents=True)
    (tmp_path / ".venv/bin/activate").touch()
    lines = next_steps([("make ui", "compare")]).splitlines()
    assert [line.strip() for line in lines if "#" not in line] == ["next:", "source .venv/bin/activate", "make ui"]
    monkeypatch.setenv("VIRTUAL_ENV", "x")
    assert "activate" not in next_steps([("make ui", "compare")])
