"""`asc doctor`: what is in the way is told with its remedy."""

import socket

import pytest

from asc_core import UserError
from flows import doctor
from pipeline.configure import configure


@pytest.fixture
def folder(tmp_path, monkeypatch):
    """A project's folder in which nothing is wrong."""
    monkeypatch.chdir(tmp_path)
    for name in ("OMP_NUM_THREADS", "MLFLOW_TRACKING_URI", "PREFECT_API_URL"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setattr(doctor, "PORTS", {})
    configure("quick", [])
    (tmp_path / ".dvc").mkdir()
    (tmp_path / ".dvc/config").write_text("[core]\n    analytics = false\n")
    return tmp_path


def problems(look) -> dict[str, str]:
    return {each.subject: each.remedy for each in look() if each.state == doctor.PROBLEM}


def test_a_machine_without_problems_is_told_what_is_next(folder, capsys):
    doctor.main()
    lines = capsys.readouterr().out.splitlines()
    assert lines[-1] == "next: make repro" and max(map(len, lines)) <= 80
    assert not [line for line in lines if line.startswith(doctor.PROBLEM)]


def test_parameters_and_threads_that_cannot_be_used(folder, monkeypatch):
    (folder / "params.yaml").write_text("seeds: none\n")
    monkeypatch.setenv("OMP_NUM_THREADS", "4096")
    assert "asc configure" in problems(doctor.project)["parameters"]
    assert problems(doctor.computing) == {"threads": "unset OMP_NUM_THREADS"}
    with pytest.raises(UserError, match="2 problems"):
        doctor.main()


def test_a_remote_that_is_not_there(folder):
    config = "[core]\n    remote = shared\n['remote \"shared\"']\n    url = ../nowhere\n"
    (folder / ".dvc/config").write_text(config)
    assert problems(doctor.project) == {"DVC remote": "mount it, or dvc remote modify shared url PATH"}
    (folder / "nowhere").mkdir()
    assert problems(doctor.project) == {}


def test_a_folder_that_is_no_project(folder, monkeypatch):
    (folder / "elsewhere").mkdir()
    monkeypatch.chdir(folder / "elsewhere")
    assert set(problems(doctor.project)) == {"parameters", "DVC"}


def test_ports_that_others_have_and_servers_that_do_not_answer(folder, monkeypatch):
    with socket.socket() as other:
        other.bind(("127.0.0.1", 0))
        other.listen()
        port = other.getsockname()[1]
        monkeypatch.setattr(doctor, "PORTS", {"MLflow": (port, "/health", "make ui")})
        monkeypatch.setattr(doctor, "SECONDS", 0.5)
        monkeypatch.setenv("MLFLOW_TRACKING_URI", f"http://me:secret@127.0.0.1:{port}")
        found = list(doctor.servers())
    assert {each.subject for each in found if each.state == doctor.PROBLEM} == {"MLflow", f"port {port}"}
    assert "secret" not in "".join(map(str, found))


def test_a_package_of_another_version(folder, monkeypatch):
    monkeypatch.setattr(doctor, "version", lambda name: "0.0.1" if name == "dvc" else "9999")
    assert problems(doctor.packages) == {"packages": "make setup"}
