"""The command `asc`: sound files in, scenes out, and what a model says of itself."""

import copy
import csv
import io
import json
import os
import re
import signal
import struct
import subprocess
import sys
from dataclasses import asdict
from pathlib import Path

import numpy as np
import onnx
import pandas as pd
import pytest
import soundfile
import torch
from memory import peak_bytes
from networks import deployed

from asc_core.cli import main
from asc_core.compression import package, size
from asc_core.corpus.layout import read_corpus
from asc_core.deploy.predictor import Engine, Predictor
from asc_core.features.config import FeatureConfig
from asc_core.features.extraction import extract
from asc_core.features.frontend import Frontend
from asc_core.features.store import FeatureStore
from asc_core.models.config import NetworkConfig
from asc_core.models.inference import predict as evaluate

LABELS = ["bus", "park", "[bold]tram"]  # a table shows the last one as it is
SECONDS = 0.5
CONFIG, NETWORK = FeatureConfig(n_mels=32), NetworkConfig(norm="resnorm")
FEATURES = {"config": asdict(CONFIG), "seconds": SECONDS}
EVALUATION = {"accuracy": 61.25, "accuracy_by_device": {"a": 70.5, "s4": 50.0}}


@pytest.fixture(scope="module")
def store(rendered, tmp_path_factory) -> FeatureStore:
    """Clips of the tiny corpus as the stage extract_features leaves them."""
    folder = tmp_path_factory.mktemp("features")
    clips = read_corpus(rendered).iloc[::7].reset_index(drop=True).assign(seconds=SECONDS)
    extract(rendered, clips, CONFIG, folder / "store", folder / "work", workers=1)
    return FeatureStore(folder / "store")


@pytest.fixture(scope="module")
def network(store) -> torch.nn.Module:
    return deployed(NETWORK, len(LABELS), store.batch(np.arange(len(store.clips))).float())


@pytest.fixture(scope="module")
def models(network, tmp_path_factory) -> dict[str, Path]:
    """The network as a package and as an ONNX graph."""
    folder = tmp_path_factory.mktemp("models")
    paths = {"asc": folder / "model.asc", "onnx": folder / "model.onnx"}
    package.write(paths["asc"], network, NETWORK, LABELS, features=FEATURES, evaluation=EVALUATION)
    main_returns(["export", str(paths["asc"]), str(paths["onnx"])], 0)
    return paths


@pytest.fixture(scope="module")
def sounds(tmp_path_factory) -> Path:
    """A folder of sound of all kinds, and of what is none."""
    folder = tmp_path_factory.mktemp("sounds")
    rng = np.random.default_rng(0)

    def write(name: str, seconds: float, rate: int, channels: int, **how: str) -> None:
        (folder / name).parent.mkdir(exist_ok=True)
        samples = rng.normal(0, 0.05, (round(seconds * rate), channels)).cumsum(axis=0).clip(-0.9, 0.9)
        soundfile.write(folder / name, samples, rate, **how)

    write("a.wav", SECONDS, 44_100, 1, subtype="PCM_24")
    write("b.flac", SECONDS, 16_000, 2)
    write("deeper/long.wav", 4.3 * SECONDS, 11_025, 3, subtype="FLOAT")
    write("deeper/short.ogg", 0.13, 48_000, 1)
    write("deeper/one sample, [red].WAV", 1 / 8_000, 8_000, 1)
    (folder / "notes.txt").write_text("no sound")
    return folder


FILES = ["a.wav", "b.flac", "deeper/long.wav", "deeper/one sample, [red].WAV", "deeper/short.ogg"]


def main_returns(arguments: list[str], code: int) -> None:
    """Run the command in this process and hold it to an exit code."""
    threads = torch.get_num_threads()
    with pytest.raises(SystemExit) as stopped:
        main(arguments)
    torch.set_num_threads(threads)
    assert (stopped.value.code or 0) == code


def jsonl(text: str) -> dict[str, dict[str, float]]:
    """Probabilities by file and label."""
    rows = [json.loads(line) for line in text.splitlines()]
    return {row["file"]: {each["label"]: each["probability"] for each in row["top"]} for row in rows}


def predicted(capsys, *arguments: object, code: int = 0) -> tuple[str, str]:
    capsys.readouterr()
    main_returns(["predict", *(str(argument) for argument in arguments)], code)
    captured = capsys.readouterr()
    return captured.out, captured.err


def frame(probabilities: dict[str, dict[str, float]]) -> pd.DataFrame:
    return pd.DataFrame(probabilities).T[LABELS]


@pytest.mark.parametrize("engine", ["onnx", "torch"])
def test_a_clip_of_the_corpus_gets_what_evaluation_gives_it(models, network, store, rendered, engine):
    """Sound to label as a user does it, against feature store to label as the pipeline does it."""
    rows = np.arange(0, len(store.clips), 4)
    correct = evaluate(network, store, rows).double().softmax(dim=1).numpy()
    predictor = Predictor(models["asc"], Engine(engine))
    result = np.stack([predictor(rendered / store.clips["filename"][row]) for row in rows])
    assert len(set(correct.argmax(axis=1))) > 1 and predictor.labels == LABELS
    np.testing.assert_allclose(result, correct, atol=1e-4)
    np.testing.assert_allclose(result.sum(axis=1), 1)


def test_every_kind_of_file_is_predicted_and_all_engines_agree(models, sounds, capsys):
    results = [
        frame(jsonl(predicted(capsys, *how, sounds, "--format", "jsonl", "--top", 3)[0]))
        for how in (
            [models["asc"]],
            [models["asc"], "--engine", "torch"],
            [models["asc"], "--engine", "onnx"],
            [models["onnx"]],
        )
    ]
    assert results[0].index.tolist() == [str(sounds / name) for name in FILES]
    for result in results[1:]:
        pd.testing.assert_frame_equal(result, results[0], atol=1e-4, rtol=0)


def test_short_sound_is_repeated_and_the_whole_windows_of_long_sound_are_averaged(models, sounds, tmp_path):
    predictor = Predictor(models["asc"], Engine.torch)
    length = round(SECONDS * 16_000)
    rng = np.random.default_rng(1)
    first, second = rng.normal(0, 0.2, length), rng.normal(0, 0.003, length).cumsum()
    parts = {
        "first": first,
        "second": second,
        "short": first[:3_000],
        "tiled": np.tile(first[:3_000], 3)[:length],
        "both": np.concatenate([first, second]),
        "almost": np.concatenate([first, second[:-1]]),
        "more": np.concatenate([first, second, first[:-1]]),
    }
    results, logits = {}, {}
    for name, samples in parts.items():
        soundfile.write(tmp_path / f"{name}.wav", samples, 16_000, subtype="DOUBLE")
        results[name] = predictor(tmp_path / f"{name}.wav")
        logits[name] = np.log(results[name])
    assert not np.allclose(results["first"], results["second"], atol=0.01)
    np.testing.assert_array_equal(results["short"], results["tiled"])
    np.testing.assert_array_equal(results["almost"], results["first"])  # cut, as in training
    mean = np.exp((logits["first"] + logits["second"]) / 2)
    np.testing.assert_allclose(results["both"], mean / mean.sum(), rtol=1e-6)
    np.testing.assert_array_equal(results["more"], results["both"])


def test_features_are_those_of_the_store(store, rendered):
    frontend = Frontend({"features": FEATURES})
    for row, name in enumerate(store.clips["filename"][:5]):
        features = frontend.read(rendered / name)
        assert features.shape == (1, 1, 32, CONFIG.frames(SECONDS)) and features.dtype == np.float32
        assert np.array_equal(features[0, 0], store.array[row].astype(np.float32))


def test_csv_and_json_lines_say_the_same_as_the_table(models, sounds, capsys):
    text, _ = predicted(capsys, models["asc"], sounds, "--format", "csv", "--top", 2)
    rows = list(csv.DictReader(io.StringIO(text)))
    assert [row["file"] for row in rows] == [str(sounds / name) for name in FILES for _ in range(2)]
    assert [row["rank"] for row in rows] == ["1", "2"] * len(FILES)
    lines = jsonl(predicted(capsys, models["asc"], sounds, "--format", "jsonl", "--top", 2)[0])
    table, _ = predicted(capsys, models["asc"], sounds, "--top", 2)
    for row in rows:
        assert lines[row["file"]][row["label"]] == pytest.approx(float(row["probability"]), abs=2e-6)
        assert row["file"] in table and row["label"] in table and f"{float(row['probability']):.3f}"[:-1] in table
    best, other = rows[:2]
    assert float(best["probability"]) >= float(other["probability"]) and best["label"] != other["label"]
    assert json.loads(predicted(capsys, models["asc"], sounds / "a.wav", "--format", "jsonl")[0]).keys() == {
        "file", "label", "probability", "top"
    }  # fmt: skip


def test_more_labels_than_there_are_is_all_of_them(models, sounds, capsys):
    text, _ = predicted(capsys, models["asc"], sounds / "a.wav", "--format", "csv", "--top", 99)
    assert {row["label"] for row in csv.DictReader(io.StringIO(text))} == set(LABELS)


def test_a_broken_file_is_told_in_one_line_and_the_rest_goes_on(models, sounds, tmp_path, capsys):
    (tmp_path / "broken.wav").write_bytes(b"RIFF but not sound")
    (tmp_path / "good.wav").write_bytes((sounds / "a.wav").read_bytes())
    missing = tmp_path / "nothing.wav"
    soundfile.write(tmp_path / "nan.wav", np.full(8_000, np.nan), 16_000, subtype="FLOAT")
    for engine in ("onnx", "torch"):
        arguments = [models["asc"], missing, tmp_path, sounds / "notes.txt", "--format", "csv", "--engine", engine]
        out, err = predicted(capsys, *arguments, code=1)
        assert [row["file"] for row in csv.DictReader(io.StringIO(out))] == [str(tmp_path / "good.wav")]
        errors = [line for line in err.splitlines() if line.startswith("asc: error: ")]
        assert [Path(line.split(": ")[2]).name for line in errors] == [
            "nothing.wav", "broken.wav", "nan.wav", "notes.txt"
        ]  # fmt: skip
        assert "Traceback" not in err


def sound(seconds: float = SECONDS, rate: int = 16_000) -> np.ndarray:
    return np.random.default_rng(3).normal(0, 0.05, round(seconds * rate)).cumsum().clip(-0.9, 0.9)


def riff(samples: bytes, *, channels: int = 1, rate: int = 16_000, align: int = 2, bits: int = 16) -> bytes:
    """A WAV file whose header says whatever it is told to."""
    form = struct.pack("<IHHIIHH", 16, 1, channels, rate, rate * align, align, bits)
    return (
        b"RIFF" + struct.pack("<I", 36 + len(samples)) + b"WAVEfmt " + form
        + b"data" + struct.pack("<I", len(samples)) + samples
    )  # fmt: skip


GOOD = ['=SUM(A1), "x".wav', "below/fine.wav", r"caf\xe9.wav", "elsewhere/there.wav", "good.wav"]


def crowd(folder: Path) -> dict[str, str]:
    """A folder with every oddity beside files that are sound: what stands at the end of each oddity's line."""
    (folder / "below/._hidden").mkdir(parents=True)
    for name in ("good.wav", "below/fine.wav", '=SUM(A1), "x".wav', "two\nlines\x1b[31m.wav", "known.dat"):
        soundfile.write(folder / name, sound(), 16_000, format="WAV")
    latin = os.fsencode(folder) + b"/caf\xe9.wav"
    Path(os.fsdecode(latin)).write_bytes((folder / "good.wav").read_bytes())
    (folder / "below/._fine.wav").write_bytes(b"\0\5\26\7Mac OS X")
    (folder / "below/._hidden/more.wav").write_bytes(b"nothing")
    samples = (sound() * 32767).astype("<i2").tobytes()
    (folder / "zero channels.wav").write_bytes(riff(samples, channels=0))
    (folder / "huge align.wav").write_bytes(riff(samples, align=65_535, bits=65_535))
    lies = struct.pack("<I", 0x7FFFFFFF)  # how long the chunk of the format is
    (folder / "lying.wav").write_bytes(riff(samples).replace(b"fmt \x10\0\0\0", b"fmt " + lies))
    (folder / "empty.wav").touch()
    (folder / "text.flac").write_text("not a sound")
    (folder / "cut.wav").write_bytes((folder / "good.wav").read_bytes()[:-2_000])
    soundfile.write(folder / "loud.wav", np.full(8_000, 3e30), 16_000, subtype="FLOAT")
    os.mkfifo(folder / "pipe.wav")
    (folder / "dangling.wav").symlink_to("nowhere.wav")
    (folder / "itself.wav").symlink_to("itself.wav")
    (folder / "below/up").symlink_to("..")
    return {
        "below/up": "leads back",
        "cut.wav": "truncated",
        "dangling.wav": "link to nowhere.wav",
        "empty.wav": "",
        "huge align.wav": "",
        "itself.wav": "",
        "loud.wav": "full scale",
        "lying.wav": "",
        "pipe.wav": "pipe",
        "text.flac": "",
        "zero channels.wav": "",
    }


@pytest.fixture
def odd(tmp_path) -> tuple[Path, dict[str, str]]:
    (tmp_path / "linked").mkdir()
    soundfile.write(tmp_path / "linked/there.wav", sound(), 16_000)
    problems = crowd(tmp_path / "card")
    (tmp_path / "card/elsewhere").symlink_to(tmp_path / "linked")
    return tmp_path / "card", problems


@pytest.mark.parametrize("format", ["table", "csv", "jsonl"])
def test_over_a_folder_each_oddity_costs_its_line_and_the_others_nothing(models, odd, capsys, format):
    folder, problems = odd
    out, err = predicted(capsys, models["asc"], folder, "--format", format, code=1)
    told = [line.removeprefix(f"asc: error: {folder}/") for line in err.splitlines() if line.startswith("asc: error: ")]
    assert len(told) == len(problems)
    for line, (name, problem) in zip(told, problems.items(), strict=True):
        assert line.startswith(f"{name}: ") and problem in line and line.isprintable()
    assert not [line for line in err.splitlines() if not line.startswith(("asc: error: ", "predict: "))]
    for text in (out, err):
        assert text.replace("\n", "").isprintable()
        text.encode()

    names = [*GOOD, r"two\nlines\x1b[31m.wav"]
    if format == "csv":
        found = [row["file"] for row in csv.DictReader(io.StringIO(out))]
    elif format == "jsonl":
        found = [json.loads(line)["file"] for line in out.splitlines()]
        names[-1] = "two\nlines\x1b[31m.wav"
    else:
        found = [re.split(" {2,}", line.strip())[0] for line in out.splitlines() if str(folder) in line]
    assert sorted(found) == sorted(f"{folder}/{name}" for name in names)


def test_names_in_csv_are_no_formulas(network, tmp_path, monkeypatch, capsys):
    package.write(tmp_path / "model.asc", network, NETWORK, ["=1+2", "@x", "-y"], features=FEATURES)
    soundfile.write(tmp_path / "=cmd.wav", sound(), 16_000)
    monkeypatch.chdir(tmp_path)
    out, _ = predicted(capsys, "model.asc", "=cmd.wav", "--format", "csv", "--top", 3)
    rows = list(csv.DictReader(io.StringIO(out)))
    assert {row["file"] for row in rows} == {"'=cmd.wav"}
    assert {row["label"] for row in rows} == {"'=1+2", "'@x", "'-y"}


def test_what_is_named_is_tried_whatever_it_is(models, odd, capsys):
    folder, _ = odd
    names = [folder / "pipe.wav", folder / "known.dat", folder / "below/._fine.wav", "/dev/zero"]
    out, err = predicted(capsys, models["asc"], *names, "--format", "csv", code=1)
    assert [row["file"] for row in csv.DictReader(io.StringIO(out))] == [str(folder / "known.dat")]
    assert err.count("asc: error: ") == err.count("\n") == 3


def test_a_folder_that_cannot_be_read_is_told(models, odd, capsys, monkeypatch):
    folder, _ = odd
    scandir = os.scandir

    def refuses(path):
        if Path(path).name == "below":
            raise PermissionError(13, "Permission denied")
        return scandir(path)

    monkeypatch.setattr(os, "scandir", refuses)  # whoever runs the tests may be allowed to read everything
    _, err = predicted(capsys, models["asc"], folder, "--format", "csv", code=1)
    assert f"asc: error: {folder}/below: cannot be read (Permission denied)\n" in err


@pytest.mark.parametrize("error", [MemoryError(), RuntimeError("\x1bdecoder"), RecursionError(), LookupError("x")])
def test_whatever_a_decoder_raises_is_its_files_line(models, sounds, capsys, monkeypatch, error):
    read = soundfile.SoundFile.read

    def fails(self, *arguments, **options):
        if self.name.endswith(b"b.flac"):
            raise error
        return read(self, *arguments, **options)

    monkeypatch.setattr(soundfile.SoundFile, "read", fails)
    out, err = predicted(capsys, models["asc"], sounds, "--format", "csv", code=1)
    assert len(out.splitlines()) == len(FILES)
    told = [line for line in err.splitlines() if line.startswith("asc: error: ")]
    assert len(told) == 1 and told[0].startswith(f"asc: error: {sounds / 'b.flac'}: ") and told[0].isprintable()


@pytest.mark.parametrize("engine", ["onnx", "torch"])
@pytest.mark.parametrize("format", ["table", "csv", "jsonl"])
def test_a_network_whose_answer_is_no_number_gives_no_prediction(network, sounds, tmp_path, capsys, format, engine):
    """Its weights are numbers, each of them."""
    exploding = copy.deepcopy(network)
    for tensor in exploding.state_dict().values():
        if tensor.dtype == torch.float16:
            tensor.fill_(torch.finfo(torch.float16).max)
    package.write(tmp_path / "model.asc", exploding, NETWORK, LABELS, features=FEATURES)
    arguments = [tmp_path / "model.asc", sounds / "a.wav", "--engine", engine, "--format", format]
    out, err = predicted(capsys, *arguments, code=1)
    told = f"asc: error: {sounds / 'a.wav'}: the answer of {tmp_path / 'model.asc'} is no finite number"
    assert err.startswith(told) and err.count("\n") == 1
    assert "nan" not in out.lower() and len(out.splitlines()) == (format == "csv")


def sparse(path: Path, seconds: float, rate: int) -> None:
    """A file of 8-bit samples that takes no room on a disk."""
    head = riff(b"", rate=rate, align=1, bits=8)
    length = round(seconds * rate)
    path.write_bytes(head[:4] + struct.pack("<I", 36 + length) + head[8:40] + struct.pack("<I", length))
    os.truncate(path, len(head) + length)


def test_memory_does_not_grow_with_the_length_of_a_file(network, tmp_path):
    package.write(tmp_path / "model.asc", network, NETWORK, LABELS, features={**FEATURES, "seconds": 10.0})
    most = []
    for hours in (0.01, 4):
        sparse(tmp_path / "sound.wav", hours * 3600, 8_000)
        most.append(peak_bytes("predict", tmp_path / "model.asc", tmp_path / "sound.wav")[0])
    assert most[1] - most[0] < 40e6, most  # the features alone take 63 MB


def test_ctrl_c_ends_a_prediction_of_hours_at_once(models, tmp_path):
    (tmp_path / "hours").mkdir()
    for name in ("a.wav", "b.wav", "c.wav"):
        sparse(tmp_path / "hours" / name, 15 * 3600, 8_000)
    soundfile.write(tmp_path / "first.wav", sound(), 16_000)
    found = [tmp_path / "first.wav", tmp_path / "hours"]
    process = subprocess.Popen(
        [sys.executable, "-um", "asc_core.cli", "predict", models["asc"], *found, "--format", "jsonl"],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    assert process.stdout is not None and json.loads(process.stdout.readline())["file"].endswith("first.wav")
    process.send_signal(signal.SIGINT)
    out, err = process.communicate(timeout=60)  # each of the files would take longer
    assert (process.returncode, out) == (130, "") and "Traceback" not in err


def test_a_reader_that_goes_ends_the_prediction(models, odd):
    folder, _ = odd
    for number in range(40):
        sparse(folder / f"long{number}.wav", 3600, 8_000)
    read, write = os.pipe()
    os.close(read)
    command = [sys.executable, "-um", "asc_core.cli", "predict", models["asc"], folder, "--format", "csv"]
    done = subprocess.run(command, stdout=write, stderr=subprocess.PIPE, text=True, timeout=120, check=False)
    os.close(write)
    assert done.returncode == 1 and "Traceback" not in done.stderr and "Exception" not in done.stderr


def test_progress_over_a_folder_is_told_on_standard_error_alone(models, sounds, capsys):
    out, err = predicted(capsys, models["asc"], sounds, "--format", "csv")
    assert "predict: 5/5" in err and len(out.splitlines()) == 6
    assert predicted(capsys, models["asc"], sounds / "a.wav")[1] == ""


@pytest.mark.parametrize(
    ("model", "message"),
    [
        ("nothing.asc", "No such file"),
        ("nothing.onnx", "No such file"),
        ("foreign.asc", "not a package"),
        ("foreign.onnx", "not a graph"),
        ("nameless.onnx", "not a graph"),
        ("featureless.asc", "what features"),
    ],
)
@pytest.mark.parametrize("command", ["predict", "info"])
def test_a_model_that_is_none_is_an_error_of_one_line(
    models, network, sounds, tmp_path, capsys, model, message, command
):
    for name in ("foreign.asc", "foreign.onnx"):
        (tmp_path / name).write_bytes(b"something else")
    graph = onnx.load(models["onnx"])
    del graph.metadata_props[:]
    onnx.save(graph, tmp_path / "nameless.onnx")
    package.write(tmp_path / "featureless.asc", network, NETWORK, LABELS)
    if (model, command) == ("featureless.asc", "info"):  # says what there is
        main_returns(["info", str(tmp_path / model)], 0)
        return
    capsys.readouterr()
    main_returns([command, str(tmp_path / model), *([str(sounds)] if command == "predict" else [])], 1)
    err = capsys.readouterr().err
    assert err.startswith("asc: error: ") and message in err and str(tmp_path / model) in err and err.count("\n") == 1


def test_a_pipe_is_no_model(sounds, tmp_path, capsys):
    for name in ("pipe.asc", "pipe.onnx"):
        os.mkfifo(tmp_path / name)
        _, err = predicted(capsys, tmp_path / name, sounds, code=1)
        assert err == f"asc: error: {tmp_path / name}: not a file\n"


def test_a_folder_without_sound_and_an_engine_that_cannot_are_errors(models, sounds, tmp_path, capsys):
    assert str(tmp_path) in predicted(capsys, models["asc"], tmp_path, code=1)[1]
    assert "engine" in predicted(capsys, models["onnx"], sounds, "--engine", "torch", code=1)[1]


BLOCKED = """
import sys
class Blocker:
    def find_spec(self, name, path=None, target=None):
        if name.partition(".")[0] in sys.argv[1].split(","):
            raise ModuleNotFoundError(f"No module named {name!r}", name=name)
sys.meta_path.insert(0, Blocker())
from asc_core.cli import main
main(sys.argv[2:])
"""


def test_without_onnx_runtime_and_all_that_runs_pipelines_torch_predicts_the_same(models, sounds, capsys):
    missing = "onnxruntime,onnx,dvc,mlflow,prefect,great_expectations,sympy"  # the last takes too long to load
    arguments = ["predict", str(models["asc"]), str(sounds), "--format", "jsonl", "--top", "3"]
    command = [sys.executable, "-c", BLOCKED, missing, *arguments]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    reference = predicted(capsys, *arguments[1:], "--engine", "onnx")[0]
    pd.testing.assert_frame_equal(frame(jsonl(done.stdout)), frame(jsonl(reference)), atol=1e-4, rtol=0)


@pytest.mark.parametrize("arguments", [["predict", "onnx"], ["predict", "asc", "--engine", "onnx"], ["export", "asc"]])
def test_what_needs_onnx_runtime_says_so_where_it_is_missing(models, sounds, tmp_path, capsys, monkeypatch, arguments):
    monkeypatch.setitem(sys.modules, "onnxruntime", None)
    command, model, *more = arguments
    capsys.readouterr()
    main_returns([command, str(models[model]), str(sounds if command == "predict" else tmp_path / "x.onnx"), *more], 1)
    err = capsys.readouterr().err
    assert "onnxruntime is not installed" in err and err.count("\n") == 1 and not list(tmp_path.iterdir())


def told(capsys, *arguments: object) -> str:
    capsys.readouterr()
    main_returns(["info", *(str(argument) for argument in arguments)], 0)
    return capsys.readouterr().out


def test_info_tells_what_is_in_a_package(models, network, capsys):
    facts = json.loads(told(capsys, models["asc"], "--json"))
    totals, rows = size.totals(network), size.account(network)
    assert facts["totals"] == totals
    assert [row["name"] for row in facts["account"]] == [row.name for row in rows]
    assert sum(row["counted_bytes"] for row in facts["account"]) == totals["counted_bytes"]
    assert sum(row["nonzero"] for row in facts["account"]) == totals["nonzero_parameters"]
    assert (facts["labels"], facts["features"], facts["network"]) == (LABELS, FEATURES, asdict(NETWORK))
    assert facts["evaluation"] == EVALUATION and facts["file_bytes"] == models["asc"].stat().st_size
    assert {limit["bytes"]: limit["met"] for limit in facts["limits"].values()} == {131_072: True, 128_000: True}
    used = [limit["used_percent"] for limit in facts["limits"].values()]
    assert used == [pytest.approx(100 * totals["counted_bytes"] / limit, abs=0.01) for limit in (131_072, 128_000)]

    table = told(capsys, models["asc"])
    figures = [totals["parameters"], totals["nonzero_parameters"], totals["counted_bytes"], facts["file_bytes"]]
    texts = [f"{figure:,}" for figure in figures]
    for text in [*LABELS, *texts, "131,072", "128,000", "bc_resnet_asc", "61.25", "s4", "50", "16,000"]:
        assert text in table, text
    for row in rows:
        line = next(line for line in table.splitlines() if line.strip().startswith(f"{row.name} "))
        numbers = [f"{value:,}" for value in (row.parameters, row.nonzero, row.bits, row.counted_bytes)]
        assert line.split() == [row.name, *numbers]


def test_info_tells_when_a_package_is_too_large_by_one_reading_only(models, capsys, monkeypatch):
    totals = {"parameters": 1, "nonzero_parameters": 1, "counted_bytes": 130_000}
    monkeypatch.setattr(size, "totals", lambda network: totals)
    lines = [line for line in told(capsys, models["asc"]).splitlines() if line.startswith("limit")]
    assert ["met" in line for line in lines] == [True, False] and "exceeded" in lines[1]


def test_info_tells_what_a_graph_says_of_itself(models, capsys):
    facts = json.loads(told(capsys, models["onnx"], "--json"))
    assert (facts["labels"], facts["features"], facts["evaluation"]) == (LABELS, FEATURES, EVALUATION)
    assert "accuracy_by_device.s4" in told(capsys, models["onnx"])


def test_info_tells_of_a_model_whatever_it_says(network, tmp_path, capsys):
    says = {"file": "another", "totals": 3, "note": "\x1b[31mred [bold]", "=1": {"\n": [[1], "\ud800"]}}
    package.write(tmp_path / "model.asc", network, NETWORK, LABELS, features=FEATURES, **says)
    main_returns(["export", str(tmp_path / "model.asc"), str(tmp_path / "model.onnx")], 0)
    for path in (tmp_path / "model.asc", tmp_path / "model.onnx"):
        text = told(capsys, path)
        assert str(path) in text and "\\x1b[31mred [bold]" in text and text.replace("\n", "").isprintable()
        assert json.loads(told(capsys, path, "--json"))["file"] == str(path)


@pytest.mark.parametrize("depth", [100, 600, 800, 900, 940])
def test_info_of_a_model_that_is_nested_deeply_is_shown_or_an_error(network, tmp_path, capsys, depth):
    """Python gives up somewhere near 1,000."""
    nested: list = []
    for _ in range(depth):
        nested = [nested]
    package.write(tmp_path / "model.asc", network, NETWORK, LABELS, features=FEATURES, nested=nested)
    for more in ([], ["--json"]):
        with pytest.raises(SystemExit) as end:
            main(["info", str(tmp_path / "model.asc"), *more])
        err = capsys.readouterr().err
        assert (end.value.code, err) == (0, "") or err.startswith(f"asc: error: {tmp_path / 'model.asc'}: ")


def test_an_int8_graph_is_calibrated_compared_and_used(models, sounds, tmp_path, capsys):
    out = tmp_path / "model8.onnx"
    main_returns(["export", str(models["asc"]), str(out), "--int8", "--calibrate", str(sounds)], 0)
    assert "int8 against float32 on 5 clips" in capsys.readouterr().err
    lines = jsonl(predicted(capsys, out, sounds, "--format", "jsonl", "--top", 3)[0])
    assert frame(lines).sum(axis=1).round(4).eq(1).all() and len(lines) == 5


@pytest.mark.parametrize("arguments", [["x.onnx", "--int8"], ["x.onnx", "--calibrate", "."], ["x.bin"]])
def test_an_export_that_cannot_be_meant_is_refused(models, tmp_path, capsys, arguments):
    main_returns(["export", str(models["asc"]), str(tmp_path / arguments[0]), *arguments[1:]], 1)
    assert capsys.readouterr().err.startswith("asc: error: ") and not list(tmp_path.iterdir())
