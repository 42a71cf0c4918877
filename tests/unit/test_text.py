"""Names of any kind in lines for people and in cells for spreadsheets."""

import os

import pytest

from asc_core.text import cell, printable


@pytest.mark.parametrize(
    "name",
    [
        "tram.wav",
        'wet, "quoted" é 音.wav',
        "می\u200cخواهم",
        "Screenshot 10.00\u202fAM",
        "a\u00a0b",
        "\U0001f468\u200d\U0001f469",
        "",
    ],
)
def test_names_that_can_be_shown_are_left_alone(name):
    assert printable(name) == name


@pytest.mark.parametrize(
    ("name", "shown"),
    [
        ("a\nb\r\tc", r"a\nb\r\tc"),
        ("\x1b[31mred\x1b]0;title\x07", r"\x1b[31mred\x1b]0;title\x07"),
        ("\x9b31m\x7f\0", r"\x9b31m\x7f\x00"),
        ("evil\u202egpj.wav", r"evil\u202egpj.wav"),  # shown backwards from there on
        ("two\u2028lines\u2029", r"two\u2028lines\u2029"),
        (os.fsdecode(b"caf\xe9.wav"), r"caf\xe9.wav"),
        ("half\ud83d", r"half\ud83d"),
        (ValueError("x\x1b"), r"x\x1b"),
    ],
)
def test_what_would_reach_the_terminal_as_something_else_is_escaped(name, shown):
    assert printable(name) == shown
    printable(name).encode()


@pytest.mark.parametrize("name", ["=1+2", "+1", "-1", "@SUM(A1)", "-x.wav", "\uff1d1+2"])
def test_a_cell_is_no_formula(name):
    assert cell(name) == f"'{name}"


@pytest.mark.parametrize(("name", "shown"), [("\t=1", r"\t=1"), ("a=1", "a=1"), ("", ""), ("'=1", "'=1")])
def test_a_cell_is_otherwise_the_printable_name(name, shown):
    assert cell(name) == shown
