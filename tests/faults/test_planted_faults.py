"""One corpus with every fault planted in it, each in clips of its own: validation blames those, and nothing else."""

import json
import shutil
from collections import defaultdict
from collections.abc import Callable, Iterator
from html.parser import HTMLParser
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import soundfile

from asc_core import UserError
from asc_core.corpus.config import Lists
from asc_core.corpus.layout import read_corpus
from asc_core.files import write_json
from pipeline.configure import parameters
from pipeline.params import Bounds, ExpectAudio, ExpectCounts, Params, SplitSizes
from pipeline.paths import CLIPS, CORPUS, DATA_DOCS, VALIDATION
from pipeline.runtime.journal import Journal
from pipeline.stages.validate import validate
from pipeline.validation.check import check, verdict
from pipeline.validation.suite import COLUMNS, suite
from pipeline.validation.tables import INDEX, inspect, tables

RATE, SECONDS = 44_100, 0.5
META = "meta.csv"
Blamed = Iterator[tuple[str, str]]  # the meaning of an expectation, and what names the bad row of its table

WHOLE = "every listed audio file is there and whole"
SOUND = "every listed audio file has sound in it"
NAMED = "files are named audio/scene-city-location-segment-device.wav, or -segment-part-device.wav"
ONCE = "every file is listed once, in one split"


class Corpus:
    """A copy of a corpus to plant faults in; the tables are in memory until `save`."""

    def __init__(self, root: Path) -> None:
        self.root = root
        self.tables = {
            name: pd.read_csv(root / name, sep="\t", dtype=str) for name in (META, Lists().train, Lists().test)
        }
        self.spared: set[str] = set()

    def clip(self, split: str, device: str = "a", city: str = "") -> str:
        """The name of a clip that has no fault yet."""
        for name in self.tables[getattr(Lists(), split)]["filename"]:
            if name.endswith(f"-{device}.wav") and f"-{city}" in name and name not in self.spared:
                self.spared.add(name)
                return name
        raise LookupError(f"no clip of {device} is left in {split}")

    def set(self, table: str, name: str, **cells: str) -> None:
        rows = self.tables[table]["filename"] == name
        assert rows.any()
        self.tables[table].loc[rows, list(cells)] = list(cells.values())

    def drop(self, table: str, name: str) -> None:
        self.tables[table] = self.tables[table][self.tables[table]["filename"] != name]

    def add(self, table: str, name: str, **cells: str) -> None:
        row = {"filename": name, "scene_label": scene_of(name), **cells}
        self.tables[table] = pd.concat([self.tables[table], pd.DataFrame([row])], ignore_index=True)

    def rename(self, name: str, part: str, other: str) -> str:
        """Rename a file, and its rows with it, by replacing a part of its name."""
        new = name.replace(part, other)
        assert not (self.root / new).exists()
        (self.root / name).rename(self.root / new)
        for table in self.tables.values():
            table["filename"] = table["filename"].replace(name, new)
        return new

    def write(self, name: str, samples: np.ndarray, rate: int = RATE, subtype: str = "PCM_24") -> None:
        soundfile.write(self.root / name, samples, rate, subtype=subtype)

    def save(self) -> None:
        for name, table in self.tables.items():
            table.to_csv(self.root / name, sep="\t", index=False)


def scene_of(name: str) -> str:
    return name.split("/")[1].split("-")[0]


def location_of(name: str) -> str:
    return "-".join(name.split("-")[1:3])


def noise(seconds: float = SECONDS, rate: int = RATE, channels: int = 1) -> np.ndarray:
    return np.random.default_rng(0).normal(0, 0.1, (round(seconds * rate), channels))


def missing_file(corpus: Corpus) -> Blamed:
    name = corpus.clip("test")
    (corpus.root / name).unlink()
    yield WHOLE, name


def truncated_file(corpus: Corpus) -> Blamed:
    name = corpus.clip("train")
    path = corpus.root / name
    path.write_bytes(path.read_bytes()[:30_000])
    yield WHOLE, name


def text_named_wav(corpus: Corpus) -> Blamed:
    name = corpus.clip("test")
    (corpus.root / name).write_text("not a recording")
    yield WHOLE, name


def wrong_rate(corpus: Corpus) -> Blamed:
    name = corpus.clip("test")
    corpus.write(name, noise(rate=48_000), rate=48_000)
    yield "every file has data.expect.audio.sample_rate: 44100", name


def wrong_channels(corpus: Corpus) -> Blamed:
    name = corpus.clip("test")
    corpus.write(name, noise(channels=2))
    yield "every file has data.expect.audio.channels: 1", name


def wrong_bits(corpus: Corpus) -> Blamed:
    name = corpus.clip("test")
    corpus.write(name, noise(), subtype="PCM_16")
    yield "every file has data.expect.audio.subtype: PCM_24", name


def wrong_duration(corpus: Corpus) -> Blamed:
    for seconds in (0.48, 0.52):
        name = corpus.clip("test", device="b")
        corpus.write(name, noise(seconds))
        yield "every file has data.expect.audio.seconds: 0.5", name


def silence(corpus: Corpus) -> Blamed:
    name = corpus.clip("test")
    corpus.write(name, np.full(round(SECONDS * RATE), 0.25))
    yield SOUND, name


def a_sample_that_is_no_number(corpus: Corpus) -> Blamed:
    name = corpus.clip("train")
    samples = noise()
    samples[-1] = np.nan
    corpus.write(name, samples, subtype="FLOAT")
    yield SOUND, name
    yield "every file has data.expect.audio.subtype: PCM_24", name


def row_twice_in_a_list(corpus: Corpus) -> Blamed:
    name = corpus.clip("test")
    corpus.add(Lists().test, name)
    yield ONCE, name


def row_twice_in_meta(corpus: Corpus) -> Blamed:
    name = corpus.clip("test", device="s1")
    corpus.add(META, name, identifier=location_of(name), source_label="s2")
    yield "meta.csv describes every file once", name


def clip_in_both_splits(corpus: Corpus) -> Blamed:
    name = corpus.clip("train")
    corpus.add(Lists().test, name)
    yield ONCE, name
    yield "no file is in two splits", name
    yield "no segment is in two splits", name.removesuffix("-a.wav")
    yield "no location is in two splits", location_of(name)


def segment_in_both_splits(corpus: Corpus) -> Blamed:
    """The locations are told apart in meta.csv, but the names say that both clips are the same stretch of sound."""
    kept = corpus.clip("train", city="paris")
    segment = kept.removesuffix("-a.wav")
    other = next(name for name in corpus.tables[Lists().train]["filename"] if name.startswith(segment) and name != kept)
    corpus.spared.add(other)
    corpus.drop(Lists().train, other)
    corpus.add(Lists().test, other)
    corpus.set(META, other, identifier="paris-777")
    yield "no segment is in two splits", segment
    yield "the file name and the tables agree on the location", other


def location_in_both_splits(corpus: Corpus) -> Blamed:
    """Name, identifier and segment are in order: a clip of a training location is tested on."""
    known, old = corpus.clip("train", city="prague"), corpus.clip("test", device="c")
    new = corpus.rename(old, old, f"audio/{scene_of(known)}-{location_of(known)}-999-c.wav")
    corpus.set(META, new, identifier=location_of(known), scene_label=scene_of(known))
    corpus.set(Lists().test, new, scene_label=scene_of(known))
    yield "no location is in two splits", location_of(known)


def label_that_the_name_contradicts(corpus: Corpus) -> Blamed:
    name = corpus.clip("test")
    other = "tram" if scene_of(name) != "tram" else "bus"
    for table in (META, Lists().test):
        corpus.set(table, name, scene_label=other)
    yield "the file name and the tables agree on the scene", name


def label_that_meta_contradicts(corpus: Corpus) -> Blamed:
    name = corpus.clip("test")
    corpus.set(META, name, scene_label="tram" if scene_of(name) != "tram" else "bus")
    yield "the split lists and meta.csv agree on the scene", name


def device_that_the_name_contradicts(corpus: Corpus) -> Blamed:
    name = corpus.clip("test", device="s5")
    corpus.set(META, name, source_label="s6")
    yield "the file name and the tables agree on the device", name


def row_missing_in_meta(corpus: Corpus) -> Blamed:
    name = corpus.clip("test", device="s4")
    corpus.drop(META, name)
    yield "every listed file has a row in meta.csv", name
    yield "every clip has a location", name


def clip_without_a_scene(corpus: Corpus) -> Blamed:
    name = corpus.clip("test", device="s6")
    corpus.set(Lists().test, name, scene_label="")
    yield "every clip has a scene", name


def name_that_says_nothing(corpus: Corpus) -> Blamed:
    old = corpus.clip("test", device="s2")
    yield NAMED, corpus.rename(old, old, "audio/take_17.wav")


def unknown_scene(corpus: Corpus) -> Blamed:
    old = corpus.clip("test", device="s3")
    new = corpus.rename(old, scene_of(old), "forest")
    for table in (META, Lists().test):
        corpus.set(table, new, scene_label="forest")
    yield "every scene is one of data.expect.scenes", new
    yield "every scene has clips to train on", "forest"
    yield "clips are within data.expect.counts.test.scene: 5 to 12", "forest"


def unknown_device(corpus: Corpus) -> Blamed:
    new = corpus.rename(corpus.clip("train", city="london"), "-a.wav", "-phone.wav")
    corpus.set(META, new, source_label="phone")
    yield "every device is one of data.expect.devices", new


def unseen_device_in_training(corpus: Corpus) -> Blamed:
    new = corpus.rename(corpus.clip("train", device="s1"), "-s1.wav", "-s4.wav")
    corpus.set(META, new, source_label="s4")
    yield "devices that must stay unseen are not in the training split", "s4"


def too_few_clips_of_a_device(corpus: Corpus) -> Blamed:
    """Those of the two faults before."""
    yield "clips are within data.expect.counts.train.device: at least 5", "phone"
    yield "clips are within data.expect.counts.train.device: at least 5", "s4"


def seen_device_missing_in_training(corpus: Corpus) -> Blamed:
    for name in corpus.tables[Lists().train]["filename"]:
        if name.endswith("-s3.wav"):
            corpus.drop(Lists().train, name)
    yield "all other devices are in the training split", "s3"


def device_that_no_clip_has(corpus: Corpus) -> Blamed:
    yield "every device of data.expect.devices has clips", "s9"  # the profile of this test has one more
    yield "all other devices are in the training split", "s9"


def too_few_clips_of_a_city(corpus: Corpus) -> Blamed:
    names = [name for name in corpus.tables[Lists().train]["filename"] if "-vienna-" in name]
    for name in names[:4]:
        corpus.drop(Lists().train, name)
    yield "clips are within data.expect.counts.train.city: at least 5", "vienna"
    yield "clips are within data.expect.counts.train.scene: at least 3", scene_of(names[0])


def too_many_clips_of_a_city(corpus: Corpus) -> Blamed:
    yield "clips are within data.expect.counts.test.city: 1 to 50", "milan"  # 90, where the profile of this test has 50


def too_many_clips_of_a_device(corpus: Corpus) -> Blamed:
    yield "clips are within data.expect.counts.test.device: 1 to 11", "a"  # by the two clips of a that are added above


def split_of_another_size(corpus: Corpus) -> Blamed:
    yield "the splits have the sizes of data.expect.releases: published or older", "fold1"


FAULTS: list[Callable[[Corpus], Blamed]] = [
    missing_file,
    truncated_file,
    text_named_wav,
    wrong_rate,
    wrong_channels,
    wrong_bits,
    wrong_duration,
    silence,
    a_sample_that_is_no_number,
    row_twice_in_a_list,
    row_twice_in_meta,
    clip_in_both_splits,
    segment_in_both_splits,
    location_in_both_splits,
    label_that_the_name_contradicts,
    label_that_meta_contradicts,
    device_that_the_name_contradicts,
    row_missing_in_meta,
    clip_without_a_scene,
    name_that_says_nothing,
    unknown_scene,
    unknown_device,
    unseen_device_in_training,
    too_few_clips_of_a_device,
    seen_device_missing_in_training,
    device_that_no_clip_has,
    too_few_clips_of_a_city,
    too_many_clips_of_a_city,
    too_many_clips_of_a_device,
    split_of_another_size,
]


@pytest.fixture(scope="module")
def profile() -> Params:
    """The profile quick, with a word on the duration of the rendered clips."""
    return with_expect(parameters("quick"), audio=AUDIO)


AUDIO = ExpectAudio(sample_rate=RATE, channels=1, subtype="PCM_24", seconds=SECONDS)


def with_expect(params: Params, **changes: object) -> Params:
    data = params.data.model_copy(update={"expect": params.data.expect.model_copy(update=changes)})
    return params.model_copy(update={"data": data})


def run(root: Path, params: Params, folder: Path) -> str:
    """Validate a corpus in `folder` as a stage would; what it complains about, or nothing."""
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(folder)
        write_json(CORPUS, {"root": str(root)})
        try:
            validate(params, Journal("validate", None, {"tracking": {"experiment": "test"}}))
        except UserError as error:
            return str(error)
    return ""


class Outcome:
    """What validation says about the corpus with all the faults, and what was planted."""

    def __init__(self, rendered: Path, params: Params, folder: Path) -> None:
        self.folder = folder
        root = folder / "corpus"
        shutil.copytree(rendered, root)
        corpus = Corpus(root)
        self.planted = {fault: list(fault(corpus)) for fault in FAULTS}
        corpus.save()
        self.told = run(root, params, folder)
        self.report = json.loads((folder / VALIDATION).read_text())
        self.rows = {row["meaning"]: row for row in self.report["expectations"]}


@pytest.fixture(scope="module")
def outcome(rendered, profile, tmp_path_factory) -> Outcome:
    expect = profile.data.expect
    params = with_expect(
        profile,
        devices=[*expect.devices, "s9"],
        releases={
            "published": SplitSizes(train=600, test=450),
            "older": SplitSizes(train=603, test=450),
        },
        counts=ExpectCounts(
            train=Bounds(scene=(3, None), device=(5, None), city=(5, None)),
            test=Bounds(scene=(5, 12), device=(1, 11), city=(1, 50)),
        ),
    )
    return Outcome(rendered, params, tmp_path_factory.mktemp("faults"))


def names_of(row: dict) -> set[str]:
    """What names the bad rows of an expectation."""
    return {bad[INDEX[row["table"]][0]] for bad in row["bad_rows"]}


@pytest.mark.parametrize("fault", FAULTS, ids=lambda fault: fault.__name__)
def test_a_fault_is_found_and_its_row_is_named(fault, outcome):
    for meaning, name in outcome.planted[fault]:
        row = outcome.rows[meaning]
        assert not row["passed"]
        assert name in names_of(row)
        assert f"failed: {meaning}: " in outcome.told


def test_nothing_but_the_faults_is_blamed(outcome):
    planted, blamed = defaultdict(set), {}
    for pairs in outcome.planted.values():
        for meaning, name in pairs:
            planted[meaning].add(name)
    for meaning, row in outcome.rows.items():
        if not row["passed"]:
            blamed[meaning] = names_of(row)
    assert blamed == planted


def test_the_error_is_one_line_and_the_clips_are_withheld(outcome):
    assert "\n" not in outcome.told and outcome.told.endswith(f"(all rows in {VALIDATION})")
    assert not outcome.report["passed"] and outcome.report["release"] is None
    assert not (outcome.folder / CLIPS).exists()


def test_what_is_wrong_is_told_with_the_row(outcome):
    told = outcome.told
    assert ": no such file" in told and ": truncated: " in told and ": unreadable (" in told
    assert ": is silent" in told and ": has samples that are not finite numbers" in told
    assert ".wav: 48000" in told and ".wav: PCM_16" in told and ".wav: 2" in told
    assert "vienna: 2" in told and "milan: 89" in told
    (name,) = (pair[1] for pair in outcome.planted[location_in_both_splits])
    assert f"{name}: audio/" in told  # a location goes with a file of each split


def test_every_file_of_the_faultless_corpus_passes(rendered, profile, tmp_path):
    assert run(rendered, profile, tmp_path) == ""
    report = json.loads((tmp_path / VALIDATION).read_text())
    assert report["passed"] and all(row["passed"] and not row["bad_rows"] for row in report["expectations"])
    assert report["clips"] == {"train": 70, "test": 90}
    assert report["scenes"]["train"]["bus"] == 7 and report["cities"]["test"] == {"milan": 90}
    assert report["devices"]["train"] == {"a": 20, "b": 10, "c": 10, "s1": 10, "s2": 10, "s3": 10}
    assert (tmp_path / report["data_docs"]).exists()
    assert len(list((tmp_path / DATA_DOCS / "validations").iterdir())) >= 8
    assert pd.read_parquet(tmp_path / CLIPS)["seconds"].eq(SECONDS).all()


class Page(HTMLParser):
    """What a browser makes of a page: its elements with their attributes, and the text that it shows."""

    def __init__(self, path: Path) -> None:
        super().__init__()
        self.elements: list[str] = []
        self.text = ""
        self.feed(path.read_text(encoding="utf-8"))

    def handle_starttag(self, tag: str, attributes: list[tuple[str, str | None]]) -> None:
        self.elements.append(f"{tag} {attributes}")

    def handle_data(self, data: str) -> None:
        self.text += data


def test_markup_in_names_is_text_in_the_report(rendered, profile, tmp_path):
    """In a file name, a scene and a device: the pages show it, and a browser runs nothing."""
    shutil.copytree(rendered, tmp_path / "corpus")
    corpus = Corpus(tmp_path / "corpus")
    old = corpus.clip("test")
    name = corpus.rename(old, old, "audio/<script>planted(1)<script>.wav")
    scene, device = "<script>planted(2)</script>", "<img src=planted onerror='planted(3)'>"
    other, third = corpus.clip("test"), corpus.clip("train")
    corpus.set(Lists().test, other, scene_label=scene)
    corpus.set(META, third, source_label=device)
    corpus.save()
    told = run(corpus.root, profile, tmp_path)
    assert name in told and scene in told and device in told
    pages = [Page(path) for path in (tmp_path / DATA_DOCS).rglob("*.html")]
    assert not [each for page in pages for each in page.elements if "planted" in each]
    shown = "".join(page.text for page in pages)
    assert name in shown and scene in shown and device.replace("'", "") in shown.replace("'", "").replace("\\", "")


def test_names_that_move_a_cursor_or_begin_a_line_are_told_in_one_line(rendered, profile, tmp_path):
    shutil.copytree(rendered, tmp_path / "corpus")
    corpus = Corpus(tmp_path / "corpus")
    name = corpus.clip("test")
    corpus.set(Lists().test, name, scene_label="a\n\x1b[2Jb")
    corpus.save()
    told = run(corpus.root, profile, tmp_path)
    assert told.isprintable() and r"a\n\x1b[2Jb" in told


def test_a_profile_without_expectations_takes_any_sound_corpus(rendered, tmp_path):
    shutil.copytree(rendered, tmp_path / "corpus")
    corpus = Corpus(tmp_path / "corpus")
    for rate, channels, subtype in ((48_000, 1, "PCM_24"), (RATE, 2, "PCM_16"), (8_000, 1, "FLOAT")):
        corpus.write(corpus.clip("train"), noise(0.7, rate, channels), rate, subtype)
    folder = parameters("folder")
    assert run(corpus.root, folder, tmp_path) == ""


def test_columns_of_another_type_are_found(rendered, profile, tmp_path):
    expect = profile.data.expect
    clips = inspect(rendered, read_corpus(rendered))
    frame = tables(clips, clips, expect)["clips"]
    numbers = ["seconds", "sample_rate", "channels"]
    frame = frame.astype({column: "str" if column in numbers else "category" for column in COLUMNS})
    typed = [each for each in suite(expect)["clips"] if each.notes and each.notes.startswith("the column ")]
    rows = check({"clips": frame}, {"clips": typed}, tmp_path)
    assert {tuple(row["columns"]) for row in rows if not row["passed"]} == {(column,) for column in COLUMNS}
    with pytest.raises(UserError, match="the column seconds is of type float64: str"):
        verdict(rendered, rows)


def test_an_expectation_that_cannot_be_computed_is_no_fault_of_the_corpus(profile, tmp_path):
    """Great Expectations reports it as unexpected data."""
    expectations = {"meta": suite(profile.data.expect)["meta"]}
    with pytest.raises(RuntimeError, match="expect_column_values_to_be_unique on meta failed to run"):
        check({"meta": pd.DataFrame({"name": ["a"]})}, expectations, tmp_path)
