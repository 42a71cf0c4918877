"""params.yaml: what is accepted, and how a mistake is told."""

import shutil
from pathlib import Path
from typing import Annotated, get_args, get_origin, get_type_hints

import pytest
from workspace import ROOT

from asc_core import UserError
from asc_core.config import Config
from pipeline import params
from pipeline.configure import PROFILES, configure
from pipeline.paper.rows import systems


def test_the_committed_parameters_are_the_profile_quick():
    assert (ROOT / "params.yaml").read_text() == (PROFILES / "quick.yaml").read_text()


@pytest.mark.parametrize("profile", sorted(path.stem for path in PROFILES.glob("*.yaml")))
def test_every_profile_is_valid_and_written_as_it_is(profile, tmp_path):
    path = tmp_path / "params.yaml"
    configure(profile, [], path)
    params.load(path)
    assert path.read_text() == (PROFILES / f"{profile}.yaml").read_text()


def test_overrides_change_one_key_each_and_keep_the_comments(tmp_path):
    path = tmp_path / "params.yaml"
    configure("quick", ["teacher.network.tau=1.5", "seeds=[4, 5]"], path)
    written = params.load(path)
    assert (written.teacher.network.tau, written.seeds) == (1.5, [4, 5])
    assert "# published: 256" in path.read_text()


def test_overrides_without_a_profile_go_on_top_of_the_present_parameters(tmp_path):
    path = tmp_path / "params.yaml"
    configure("quick", ["features.n_mels=32"], path)
    configure(None, ["seeds=[7]"], path)
    assert (params.load(path).features.n_mels, params.load(path).seeds) == (32, [7])


@pytest.mark.parametrize(
    ("override", "told"),
    [
        ("teacher.network.tua=1", "teacher.network.tua: unknown key"),
        ("teacher.network={name: bc_resnet_asc, tau: 1, nrom: none}", "teacher.network.nrom: unknown key"),
        ("teacher.network.norm=batch", "teacher.network.norm: needs one of none, resnorm, "),
        ("training.batch_size=many", "training.batch_size: Input should be a valid integer"),
        ("training.batch_size=1.5", "training.batch_size: Input should be a valid integer"),
        ("seeds=[0, 0]", "names a seed twice"),
        ("seeds=[]", "seeds: "),
        ("features.n_mels=100", "features.n_mels: needs a whole number from 32 to 512 and a multiple of 32, got 100"),
        ("prune.ratio=1", "prune.ratio: needs a number from 0 to 0.999, got 1"),
        ("prune.rise_epochs=99", "prune.rise_epochs: 99 is more than its 12 epochs"),
        (
            "teacher.network={name: bc_resnet_asc, tau: 1000}",
            "teacher.network.tau: needs a number from 0.1 to 32, got 1000",
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
        ("tau2020.connections=100000", "tau2020.connections: needs a whole number from 1 to 32"),
        ("student.start=teacher", "student.start: teacher needs student.network"),
        ("teacher.schedule={epochs: 1, learning_rate: 0.1, warm_up: 0}", "teacher.schedule.warm_up: unknown key"),
        ("data.expect.audio={sample_rate: 44100}", "data.expect.audio.seconds: missing key"),
        ("data.expect.counts.train.city=[0, 5]", "data.expect.counts.train.city.0: "),
        ("data.expect.counts.train.city=[9, 5]", "data.expect.counts.train.city: the least must not be more"),
        ("data.expect.releases={one: {train: 5, tset: 4}}", "data.expect.releases.one.tset: unknown key"),
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

    for config in configurations():
        for name, kind in get_type_hints(config, include_extras=True).items():
            assert not {int, float} & {*kinds(kind)}, f"{config.__name__}.{name} has no Range"


def configurations():
    return [each for each in Config.__subclasses__() if not each.__module__.startswith("asc_core.training")]


def test_a_missing_key_is_named(tmp_path):
    path = tmp_path / "params.yaml"
    path.write_text((PROFILES / "quick.yaml").read_text().replace("  ratio: 0.5", "  # ratio: 0.5"))
    with pytest.raises(UserError, match=r"prune\.ratio: missing key"):
        params.load(path)


@pytest.mark.parametrize("text", [None, "seeds: [0", "- a list"])
def test_a_file_that_is_no_mapping_is_named(text, tmp_path):
    path = Path(tmp_path / "params.yaml")
    if text is not None:
        path.write_text(text)
    with pytest.raises(UserError, match=r"params\.yaml"):
        params.load(path)
