"""params.yaml: what is accepted, and how a mistake is told."""

import shutil
from dataclasses import fields, is_dataclass
from pathlib import Path
from typing import Annotated, get_args, get_origin, get_type_hints

import pytest
from workspace import ROOT

from asc_core import UserError
from asc_core.config import Config
from asc_core.corpus.config import Lists
from pipeline import params, sections
from pipeline.configure import PROFILES, configure, parameters, profiles
from pipeline.paper.rows import systems


def leaves(values, path=()):
    """What stands at the end of each path of keys."""
    if not isinstance(values, dict):
        return {path: values}
    return {end: value for key, each in values.items() for end, value in leaves(each, (*path, key)).items()}


def left_out(key, own):
    """Whether a key of the base is of a teacher that a profile, which names its own, has not."""
    names = {other[1] for other in own if other[0] == "teachers"}
    return key[0] == "teachers" and bool(names) and key[1] not in names


def written(profile, folder):
    configure(profile, [], folder / "params.yaml")
    return folder / "params.yaml"


def comments(path):
    """The comments at the end of lines, by the first word of the line."""
    lines = [line.partition(" # ") for line in path.read_text().splitlines() if not line.startswith("#")]
    return [(line.split()[0], comment) for line, _, comment in lines if comment]


def test_the_committed_parameters_are_the_profile_quick(tmp_path):
    assert (ROOT / "params.yaml").read_text() == written("quick", tmp_path).read_text()


@pytest.mark.parametrize("profile", profiles())
def test_a_profile_is_written_whole_and_its_word_counts(profile, tmp_path):
    path = written(profile, tmp_path)
    assert params.load(path) == parameters(profile)
    base, own = (leaves(sections.read_yaml(PROFILES / f"{name}.yaml")) for name in ("base", profile))
    found = leaves(sections.read_yaml(path))
    assert {key: found[key] for key in own} == own
    for key, value in base.items():
        name = (*key[:-1], "name")
        if own.get(name, base.get(name)) != base.get(name) or left_out(key, own):
            continue  # another network has parameters of its own
        if any(key[: len(other)] == other != key for other in own):
            continue  # a section that the profile has without values
        assert key in own or any(other[: len(key)] == key for other in own) or found[key] == value, key


@pytest.mark.parametrize("profile", profiles())
def test_every_comment_is_written_and_that_of_a_profile_before_that_of_the_base(profile, tmp_path):
    path = written(profile, tmp_path)
    base, own = (comments(PROFILES / f"{name}.yaml") for name in ("base", profile))
    found = comments(path)
    assert [pair for pair in own if pair not in found] == []
    if "asc" not in parameters(profile).teachers:  # the base's, whose comments then have no line
        base = [pair for pair in base if pair[0] not in ("seed:", "augment:")]
    assert [pair for pair in base if pair not in found and pair[0] not in dict(own)] == []
    head = path.read_text().partition("\n\n")[0]
    assert head.startswith(f"# Profile {profile}: ") and (PROFILES / f"{profile}.yaml").read_text().startswith(head)


@pytest.mark.parametrize("profile", profiles())
def test_an_empty_line_stands_before_every_section(profile, tmp_path):
    lines = written(profile, tmp_path).read_text().splitlines()
    at = [number for number, line in enumerate(lines) if line and line[0] not in "# "]
    assert [number for number, line in enumerate(lines) if not line] == [number - 1 for number in at]
    assert len(at) == len(params.Params.model_fields)


@pytest.mark.parametrize("profile", profiles())
def test_a_profile_says_nothing_twice(profile):
    """But what it has a comment of its own for."""
    base, own = (sections.read_yaml(PROFILES / f"{name}.yaml") for name in ("base", profile))
    remarked = {key for key, _ in comments(PROFILES / f"{profile}.yaml")}
    for path, value in leaves(own).items():
        assert leaves(base).get(path, ...) != value or {f"{key}:" for key in path} & remarked, path


def test_the_published_system_marks_what_is_ours():
    marked = {key for key, comment in comments(PROFILES / "tau2020.yaml") if "ours" in comment}
    for key in ("n_mels", "precision", "spec_augment", "device_transfer", "distillation", "network"):
        assert f"{key}:" in marked
    assert "CP-ResNet" in (PROFILES / "tau2020.yaml").read_text().partition("\n\n")[0]
    assert parameters("tau2020").augment.device_transfer is not None


@pytest.mark.parametrize("name", ["base", "../conf/quick", "conf/quick", "quick.yaml", "/etc/hosts", "", "quick\n"])
def test_a_profile_is_a_name_and_never_a_path(name, tmp_path):
    (tmp_path / "other.yaml").write_text((ROOT / "params.yaml").read_text())
    for profile in (name, str(tmp_path / "other")):
        with pytest.raises(
            UserError,
            match=r"^[^\n]*: no such profile, known are dcase2025, folder, quick, quick2025, small, tau2020, tau2022$",
        ):
            configure(profile, [], tmp_path / "params.yaml")
    assert not (tmp_path / "params.yaml").exists()


def test_overrides_change_one_key_each_and_keep_the_comments(tmp_path):
    path = tmp_path / "params.yaml"
    configure("quick", ["teachers.asc.network.tau=1.5", "seeds=[4, 5]"], path)
    written = params.load(path)
    assert (written.teachers["asc"].network.tau, written.seeds) == (1.5, [4, 5])
    assert "# published: 256" in path.read_text()


def test_overrides_without_a_profile_go_on_top_of_the_present_parameters(tmp_path):
    path = tmp_path / "params.yaml"
    configure("quick", ["features.n_mels=32"], path)
    configure(None, ["seeds=[7]"], path)
    assert (params.load(path).features.n_mels, params.load(path).seeds) == (32, [7])


@pytest.mark.parametrize(
    ("override", "told"),
    [
        ("teachers.asc.network.tua=1", "teachers.asc.network.tua: unknown key, the nearest is tau"),
        ("techers.asc.network.tau=1", "techers.asc.network.tau: unknown key, the nearest is teachers"),
        ("seeds.first=1", "seeds.first: unknown key, it is in no section"),
        ("tracking.colour=red", "tracking.colour: unknown key, known are experiment"),
        (
            "teachers.asc.network={name: bc_resnet_asc, tau: 1, nrom: none}",
            "teachers.asc.network.nrom: unknown key, the nearest is norm",
        ),
        ("teachers.asc.network.norm=batch", "teachers.asc.network.norm: needs one of none, resnorm, "),
        ("training.batch_size=many", "training.batch_size: Input should be a valid integer"),
        ("training.batch_size=1.5", "training.batch_size: Input should be a valid integer"),
        ("seeds=[0, 0]", "names a seed twice"),
        ("seeds=[]", "seeds: "),
        ("features.n_mels=100", "features.n_mels: needs a whole number from 32 to 512 and a multiple of 32, got 100"),
        ("prune.ratio=1", "prune.ratio: needs a number from 0 to 0.999, got 1"),
        ("prune.schedule=null", "prune.schedule: null leaves a pruned network untrained; it needs ratio: 0"),
        ("student.schedule=null", "student.schedule: null leaves a student from scratch untrained; it needs start: te"),
        ("prune.rise_epochs=99", "prune.rise_epochs: 99 is more than its 12 epochs"),
        (
            "teachers.asc.network={name: bc_resnet_asc, tau: 1000}",
            "teachers.asc.network.tau: needs a number from 0.1 to 32, got 1000",
        ),
        ("features.sample_rate=1", "features.sample_rate: needs a whole number from 4,000 to 384,000, got 1"),
        ("features.window_ms=.nan", "features.window_ms: needs a number from 5 to 1,000, got nan"),
        ("features.hop_ms=-.inf", "features.hop_ms: needs a number from 1 to 1,000, got -inf"),
        (
            "features={sample_rate: 384000, n_mels: 32, window_ms: 130, hop_ms: 30}",
            "features.window_ms: needs at most 85 ",
        ),
        ("gates.accuracy=.nan", "gates.accuracy: Input should be a finite number"),
        (f"seeds=[{2**200}]", "seeds.0: Input should be less than or equal to 4294967295"),
        (f"synthetic.seed={2**200}", "synthetic.seed: needs a whole number from 0 to 4,294,967,295"),
        ("synthetic.train_copies=31", "synthetic.train_copies: 31 is more than the 30 of train_recordings"),
        ("data.share=25", "data.share: goes with {share} in the name of lists.train"),
        ("data.lists.train='split{share}.csv'", "data.share: goes with {share} in the name of lists.train"),
        ("data.share=30", "data.share: Input should be 5, 10, 25, 50 or 100"),
        ("fetch.connections=100000", "fetch.connections: needs a whole number from 1 to 32"),
        ("student.start=teacher", "student.start: teacher needs one teacher, whose network"),
        (
            "teachers.asc.schedule={epochs: 1, learning_rate: 0.1, warm_up: 0}",
            "teachers.asc.schedule.warm_up: unknown key",
        ),
        ("data.expect.audio={sample_rate: 44100}", "data.expect.audio.seconds: missing key"),
        ("data.validation={locations: 1}", "data.validation.locations: needs a number from 0.01 to 0.9, got 1"),
        ("data.validation={devices: s3}", "data.validation.devices: Input should be a valid array, got 's3'"),
        ("data.validation={devices: [1]}", "data.validation.devices.0: Input should be a valid string, got 1"),
        ("data.validation={device: 1}", "data.validation.device: unknown key, the nearest is devices"),
        ("data.expect.counts.train.city=[0, 5]", "data.expect.counts.train.city.0: "),
        ("data.expect.counts.train.city=[9, 5]", "data.expect.counts.train.city: the least must not be more"),
        (
            "data.expect.releases={one: {train: 5, tset: 4}}",
            "data.expect.releases.one.tset: unknown key, the nearest is test",
        ),
        ("seeds", "seeds: not of the form key=value"),
    ],
)
def test_a_mistake_names_its_key_and_leaves_the_file_alone(override, told, tmp_path):
    path = tmp_path / "params.yaml"
    configure("quick", [], path)
    before = path.read_text()
    with pytest.raises(UserError, match=r"^[^\n]*$") as error:
        configure("quick", [override], path)
    assert told in str(error.value)
    assert path.read_text() == before


@pytest.mark.parametrize(
    ("override", "told"),
    [
        ("paper.seeds=[-1]", "paper.seeds.0: Input should be greater than or equal to 0"),
        ("paper.systems=[asc_tiny]", "paper.systems.0: unknown name 'asc_tiny', known are cp_resnet, bc_resnet, "),
        ("paper.compressed=[0]", "paper.compressed.0: Input should be a valid string"),
        ("paper.compressed=[with_magic]", "paper.compressed.0: unknown name 'with_magic', known are asc_large_"),
        ("paper.large_tau=1000", "paper.large_tau: needs a number from 0.1 to 32, got 1000"),
        ("paper.cp_resnet_width=0", "paper.cp_resnet_width: needs a whole number from 1 to 256, got 0"),
        ("paper.prune.ratio=1.0", "paper.prune.ratio: needs a number from 0 to 0.999, got 1.0"),
    ],
)
def test_a_mistake_in_the_settings_of_the_tables_names_its_key(override, told, tmp_path):
    path = Path(shutil.copy(ROOT / systems.SETTINGS, tmp_path))
    with pytest.raises(UserError, match=r"^[^\n]*$") as error:
        configure(None, [override], path, systems.PaperFile)
    assert told in str(error.value)


def test_every_number_of_the_library_is_bounded():
    def kinds(kind):
        yield kind
        for each in get_args(kind) if get_origin(kind) is not Annotated else ():
            yield from kinds(each)

    found = [each for each in configurations() if each.__module__.startswith("asc_core.") and is_dataclass(each)]
    assert {"Schedule", "Mixup", "SpecAugment"} <= {each.__name__ for each in found}
    for config in found:
        hints = get_type_hints(config, include_extras=True)
        for name, kind in ((each.name, hints[each.name]) for each in fields(config)):
            assert not {int, float} & {*kinds(kind)}, f"{config.__name__}.{name} has no Range"


def configurations(base=Config):
    for each in base.__subclasses__():
        yield each
        yield from configurations(each)


def test_a_missing_key_is_named(tmp_path):
    path = tmp_path / "params.yaml"
    path.write_text((ROOT / "params.yaml").read_text().replace("  ratio: 0.5", "  # ratio: 0.5"))
    with pytest.raises(UserError, match=r"prune\.ratio: missing key"):
        params.load(path)


@pytest.mark.parametrize("text", [None, "seeds: [0", "- a list"])
def test_a_file_that_is_no_mapping_is_named(text, tmp_path):
    path = Path(tmp_path / "params.yaml")
    if text is not None:
        path.write_text(text)
    with pytest.raises(UserError, match=r"params\.yaml"):
        params.load(path)


def test_the_share_of_the_data_names_the_list_that_is_trained_on(tmp_path):
    path = tmp_path / "params.yaml"
    configure("folder", ["data.share=25", "data.lists.train='split_setup/split{share}.csv'"], path)
    data = params.load(path).data
    assert data.split_lists == Lists(train="split_setup/split25.csv") and "{share}" in data.lists.train
