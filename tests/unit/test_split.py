"""Corpora of one-second files: rendered, or cut from one of whole recordings; and their shares."""

import shutil

import pandas as pd
import pytest
import soundfile
from typer.testing import CliRunner

from asc_core.commands.corpus import corpus as command
from asc_core.corpus.config import Lists, SyntheticConfig
from asc_core.corpus.layout import read_corpus
from asc_core.corpus.split import split_seconds
from asc_core.corpus.synthetic import render
from asc_core.errors import UserError

SIZE = {"clip_seconds": 2.0, "train_recordings": 2, "train_copies": 1, "test_recordings": 1, "seed": 1}


@pytest.fixture(scope="module")
def whole(tmp_path_factory):
    folder = tmp_path_factory.mktemp("whole") / "corpus"
    render(folder, SyntheticConfig(**SIZE), workers=1)
    return folder


@pytest.fixture(scope="module")
def parts(tmp_path_factory):
    folder = tmp_path_factory.mktemp("parts") / "corpus"
    render(folder, SyntheticConfig(**SIZE, part_seconds=1.0), workers=1)
    return folder


def contents(folder):
    paths = [path for path in folder.rglob("*") if path.is_file() and path.name != "synthetic.json"]
    return {str(path.relative_to(folder)): path.read_bytes() for path in paths}


def test_a_corpus_rendered_in_seconds_is_one_of_recordings_that_was_split(whole, parts, tmp_path):
    result = CliRunner().invoke(command, ["split-seconds", str(whole), str(tmp_path / "seconds")])
    assert result.exit_code == 0, result.output
    assert contents(tmp_path / "seconds") == contents(parts)
    assert not list(tmp_path.glob(".*")) and len(read_corpus(parts)) == 2 * len(read_corpus(whole))


def test_shares_are_nested_and_keep_the_parts_and_devices_of_a_segment_together(parts):
    found = {}
    for share in (5, 50, 100):
        clips = read_corpus(parts, Lists(train=f"split_setup/split{share}.csv"))
        found[share] = set(clips.loc[clips["split"] == "train", "filename"])
    assert found[5] == found[50] < found[100] == set(pd.read_csv(parts / Lists().train, sep="\t")["filename"])
    for names in found.values():
        segments = {name.rsplit("-", 2)[0] for name in names}
        assert names == {name for name in found[100] if name.rsplit("-", 2)[0] in segments}
    assert len({name.split("-")[0] for name in found[5]}) == 10


def test_what_cannot_be_split_is_told_and_leaves_nothing(whole, parts, tmp_path):
    with pytest.raises(UserError, match="not a whole recording"):
        split_seconds(parts, tmp_path / "twice")
    shutil.copytree(whole, tmp_path / "broken")
    name = next(iter((tmp_path / "broken/audio").iterdir()))
    soundfile.write(name, soundfile.read(name)[0][:1000], 44_100, subtype="PCM_24")
    with pytest.raises(UserError, match=f"{name.name}: is shorter than a second, or silent"):
        split_seconds(tmp_path / "broken", tmp_path / "out")
    name.unlink()
    with pytest.raises(UserError, match=f"{name.name}: cannot be read"):
        split_seconds(tmp_path / "broken", tmp_path / "out")
    with pytest.raises(UserError, match="is there already"):
        split_seconds(whole, tmp_path / "broken")
    assert {path.name for path in tmp_path.iterdir()} == {"broken"}


def test_silent_seconds_are_left_out(whole, tmp_path):
    shutil.copytree(whole, tmp_path / "whole")
    name = sorted((tmp_path / "whole/audio").iterdir())[0]
    sound, rate = soundfile.read(name)
    sound[:rate] = 0
    soundfile.write(name, sound, rate, subtype="PCM_24")
    count = split_seconds(tmp_path / "whole", tmp_path / "seconds")
    stem, _, device = name.stem.rpartition("-")
    left_out = f"{stem}-0-{device}.wav"
    names = {path.name for path in (tmp_path / "seconds/audio").iterdir()}
    assert count == len(names) == 2 * len(read_corpus(whole)) - 1 and left_out not in names
    assert f"{stem}-1-{device}.wav" in names
    assert not any(left_out in table.read_text() for table in (tmp_path / "seconds").rglob("*.csv"))


def test_parts_divide_a_recording():
    with pytest.raises(UserError, match=r"part_seconds: needs to divide the 2\.0 of clip_seconds"):
        SyntheticConfig(clip_seconds=2.0, part_seconds=1.5)
    assert SyntheticConfig(clip_seconds=3.0, part_seconds=0.6).parts == 5  # 3.0 % 0.6 is 0.6 in floating point
