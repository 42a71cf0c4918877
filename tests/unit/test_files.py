"""Atomic writes, JSON, and hashes."""

import os
import signal
import subprocess
import sys

import pytest

from asc_core.errors import UserError
from asc_core.files import digest, read_json, replacing, stamp, write_json


def test_replacing_puts_the_new_content_in_place(tmp_path):
    path = tmp_path / "new" / "folder" / "file.txt"
    with replacing(path) as temporary:
        temporary.write_text("new")
        assert not path.exists() and temporary.parent == path.parent and temporary.suffix == ".txt"
    assert path.read_text() == "new" and list(path.parent.iterdir()) == [path]


def test_a_block_that_raises_leaves_the_old_content_and_no_temporary(tmp_path):
    path = tmp_path / "file.txt"
    path.write_text("old")
    with pytest.raises(KeyboardInterrupt), replacing(path) as temporary:
        temporary.write_text("half")
        raise KeyboardInterrupt
    assert path.read_text() == "old" and list(tmp_path.iterdir()) == [path]


def test_a_killed_process_leaves_the_old_content(tmp_path):
    path = tmp_path / "file.txt"
    path.write_text("old")
    code = (
        "import os, signal, sys; from asc_core.files import replacing\n"
        "with replacing(sys.argv[1]) as t: t.write_text('half'); os.kill(os.getpid(), signal.SIGKILL)"
    )
    assert subprocess.run([sys.executable, "-c", code, str(path)], check=False).returncode == -signal.SIGKILL
    assert path.read_text() == "old"


def test_the_file_follows_the_umask(tmp_path):
    before = os.umask(0o027)
    try:
        write_json(tmp_path / "value.json", 1)
        assert os.umask(0o027) == 0o027
    finally:
        os.umask(before)
    assert (tmp_path / "value.json").stat().st_mode & 0o777 == 0o640


def test_json_comes_back_as_it_went(tmp_path):
    value = {"å": [1, 2.5, None, True], "b": {"c": "d"}}
    write_json(tmp_path / "value.json", value)
    assert read_json(tmp_path / "value.json") == value
    assert (tmp_path / "value.json").read_text().endswith("}\n")


def test_not_a_number_is_refused_and_the_old_file_kept(tmp_path):
    path = tmp_path / "value.json"
    write_json(path, 1)
    with pytest.raises(ValueError, match="JSON"):
        write_json(path, {"loss": float("nan")})
    assert read_json(path) == 1 and list(tmp_path.iterdir()) == [path]


@pytest.mark.parametrize("content", [None, b"", b"{", b"\xff\xfe{}", b"{} {}"])
def test_unreadable_json_is_an_error_that_names_the_file(tmp_path, content):
    path = tmp_path / "value.json"
    if content is not None:
        path.write_bytes(content)
    with pytest.raises(UserError, match=r"value\.json: (no such file|not valid JSON)"):
        read_json(path)


def test_digest_does_not_depend_on_the_order_of_keys():
    assert digest({"a": 1, "b": {"c": 2, "d": 3}}, "x") == digest({"b": {"d": 3, "c": 2}, "a": 1}, "x")


def test_digest_tells_values_apart():
    keys = [digest(), digest({}), digest([]), digest(1), digest("1"), digest(1, 2), digest([1, 2]), digest(2, 1)]
    assert len(set(keys)) == len(keys)
    assert all(len(key) == 16 and set(key) <= set("0123456789abcdef") for key in keys)


def test_stamp_changes_with_size_and_time(tmp_path):
    path = tmp_path / "file"
    path.write_bytes(b"one")
    os.utime(path, ns=(0, 1_000_000_000))
    first = stamp(path)
    assert first == stamp(path) and 0 < first < 2**64
    os.utime(path, ns=(0, 1_000_000_001))
    second = stamp(path)
    path.write_bytes(b"three")
    os.utime(path, ns=(0, 1_000_000_001))
    assert len({first, second, stamp(path)}) == 3
