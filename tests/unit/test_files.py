"""Atomic writes, JSON, and hashes."""

import errno
import os
import signal
import subprocess
import sys

import numpy as np
import pandas as pd
import pytest
import torch
from full_disk import small_disk
from safetensors.torch import save_file

from asc_core.errors import UserError
from asc_core.files import digest, read_json, remove, replacing, stamp, write_json


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


WRITERS = {
    "bytes": lambda path: path.write_bytes(bytes(5_000_000)),
    "parquet": lambda path: pd.DataFrame({"x": np.random.default_rng(0).random(700_000)}).to_parquet(path),
    "safetensors": lambda path: save_file({"x": torch.zeros(1_500_000)}, path),
}


@pytest.mark.parametrize("writer", WRITERS)
def test_a_full_disk_is_told_in_one_line_and_leaves_the_old_content(tmp_path, writer):
    with small_disk(tmp_path / "disk", megabytes=2) as disk:
        (disk / "file.npy").write_text("old")
        with pytest.raises(UserError) as caught, replacing(disk / "file.npy") as temporary:
            WRITERS[writer](temporary)
        assert str(caught.value) == f"{disk / 'file.npy'}: cannot be written (No space left on device)"
        assert (disk / "file.npy").read_text() == "old" and len(list(disk.iterdir())) == 1


def test_a_read_only_folder_is_told_in_one_line(tmp_path):
    with small_disk(tmp_path / "disk", megabytes=1, options="ro") as disk, pytest.raises(UserError) as caught:
        write_json(disk / "new" / "value.json", 1)
    assert str(caught.value) == f"{disk / 'new' / 'value.json'}: cannot be written (Read-only file system)"


def test_something_else_in_the_way_is_told_in_one_line(tmp_path):
    (tmp_path / "file").write_text("")
    (tmp_path / "folder" / "full").mkdir(parents=True)
    for path, reason in (("file/value.json", "File exists"), ("file/a/value.json", "Not a directory"),
                         ("folder", "Is a directory")):  # fmt: skip
        with pytest.raises(UserError) as caught:
            write_json(tmp_path / path, 1)
        assert str(caught.value) == f"{tmp_path / path}: cannot be written ({reason})"
    assert {path.name for path in tmp_path.iterdir()} == {"file", "folder"}


def test_what_goes_wrong_elsewhere_is_not_blamed_on_the_file_that_is_written(tmp_path):
    with pytest.raises(PermissionError), replacing(tmp_path / "file"):
        raise PermissionError(errno.EACCES, "Permission denied", "/elsewhere/source")
    with pytest.raises(ValueError, match="no number"), replacing(tmp_path / "file"):
        raise ValueError("no number")


def test_a_link_in_the_way_is_replaced_and_what_it_leads_to_left_alone(tmp_path):
    other = tmp_path / "other.json"
    other.write_text("precious")
    (tmp_path / "value.json").symlink_to(other)
    write_json(tmp_path / "value.json", 1)
    assert other.read_text() == "precious" and not (tmp_path / "value.json").is_symlink()


def test_remove_takes_files_folders_and_links_but_not_what_these_lead_to(tmp_path):
    (tmp_path / "kept").mkdir()
    (tmp_path / "kept" / "file").write_text("precious")
    (tmp_path / "folder").mkdir()
    (tmp_path / "folder" / "link").symlink_to(tmp_path / "kept")
    (tmp_path / "link").symlink_to(tmp_path / "kept")
    (tmp_path / "dangling").symlink_to("nowhere")
    (tmp_path / "file").write_text("")
    for name in ("folder", "link", "dangling", "file", "not there"):
        remove(tmp_path / name)
    assert [path.name for path in tmp_path.rglob("*")] == ["kept", "file"]
