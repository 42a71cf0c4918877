"""The servers of `make services`, and what can be said of compose.yaml without an engine."""

import os
import re
import signal
import socket
import subprocess
import sys

import httpx
import psutil
import yaml
from workspace import ROOT

VARIABLE = re.compile(r"\$\{(\w+)(:?[-?][^}]*)?\}")
SECRETS = re.compile("PASSWORD|SECRET|ACCESS_KEY")
COMPOSE = (ROOT / "compose.yaml").read_text()


def free_port() -> int:
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        return listener.getsockname()[1]


def test_services_start_and_stop_together(tmp_path):
    mlflow, prefect = f"http://127.0.0.1:{free_port()}", f"http://127.0.0.1:{free_port()}/api"
    (tmp_path / "prefect.toml").write_text((ROOT / "prefect.toml").read_text())
    environment = {
        **os.environ,
        "PYTHONPATH": str(ROOT),
        "MLFLOW_TRACKING_URI": mlflow,
        "PREFECT_API_URL": prefect,
        "PREFECT_HOME": str(tmp_path / "prefect"),
    }
    with subprocess.Popen(
        [sys.executable, "-m", "flows.servers.services"],
        cwd=tmp_path,
        env=environment,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    ) as process:
        lines = []
        for line in process.stdout:
            lines.append(line)
            if "export" in line:
                break
        output = "".join(lines)
        assert f"export MLFLOW_TRACKING_URI={mlflow} PREFECT_API_URL={prefect}" in output, output
        assert httpx.get(f"{mlflow}/health").status_code == 200
        assert httpx.get(f"{prefect}/health").status_code == 200
        children = psutil.Process(process.pid).children(recursive=True)
        process.send_signal(signal.SIGTERM)
        rest = process.stdout.read()
        assert process.wait() == 0, rest
    assert (tmp_path / "mlflow.db").exists()
    assert len(children) >= 2
    assert not any(child.is_running() and child.status() != psutil.STATUS_ZOMBIE for child in children)


def test_services_are_of_this_machine(tmp_path):
    (tmp_path / "prefect.toml").write_text((ROOT / "prefect.toml").read_text())
    environment = {**os.environ, "PYTHONPATH": str(ROOT), "MLFLOW_TRACKING_URI": "http://mlflow.example:5000"}
    command = [sys.executable, "-m", "flows.servers.services"]
    done = subprocess.run(command, cwd=tmp_path, env=environment, capture_output=True, text=True, check=False)
    assert done.returncode == 1
    assert done.stderr.startswith("services: error: MLFLOW_TRACKING_URI is http://mlflow.example:5000")
    assert "Traceback" not in done.stderr


def filled(text: str, **values: str) -> str:
    """A compose file's text with its variables replaced by `values` or by their defaults, as compose does it."""

    def value(match: re.Match[str]) -> str:
        name, modifier = match[1], match[2] or ""
        if name in values:
            return values[name]
        assert modifier.startswith(":-"), f"{name} has no default"
        return modifier.removeprefix(":-")

    return VARIABLE.sub(value, text)


def example() -> dict[str, str]:
    """The variables of .env.example, those in a comment too, and their values."""
    lines = (ROOT / ".env.example").read_text().splitlines()
    return dict(re.findall(r"^#?(\w+)=(.*)$", "\n".join(lines), re.MULTILINE))


def test_compose_binds_every_port_to_loopback():
    given = {name: "x" for name in example() if SECRETS.search(name)}
    services = yaml.safe_load(filled(COMPOSE, **given))["services"]
    ports = {name: port for name, service in services.items() for port in service.get("ports", [])}
    assert ports == {"mlflow": "127.0.0.1:5000:5000", "prefect": "127.0.0.1:4200:4200"}
    assert not any("network_mode" in service for service in services.values())


def test_compose_holds_no_secret_and_demands_each():
    text = COMPOSE + (ROOT / "Dockerfile").read_text()
    for name, value in re.findall(r"(\w+)[:=]\s*(\S.*)", text):
        if SECRETS.search(name):
            assert re.fullmatch(r"\$\{\w+:\?[^}]+\}", value), f"{name} is {value}"
    assert not any(value for name, value in example().items() if SECRETS.search(name))


def test_the_environment_file_documents_what_compose_reads():
    used = {match[1]: (match[2] or "").removeprefix(":-") for match in VARIABLE.finditer(COMPOSE)}
    assert set(used) == set(example())
    assert {name: value for name, value in example().items() if value} == {
        name: value for name, value in used.items() if not value.startswith(":?")
    }


def test_images_are_pinned_and_the_servers_are_those_of_the_lock():
    services = yaml.safe_load(filled(COMPOSE, **dict.fromkeys(example(), "1")))["services"]
    for service in services.values():
        assert "build" in service or re.search(r":\d+\.\d+", service["image"])
    dockerfile = (ROOT / "Dockerfile").read_text()
    assert re.search(r"^FROM python:3\.\d+\.\d+-", dockerfile, re.MULTILINE)
    locked = set(re.findall(r"^(\S+)==", (ROOT / "requirements.lock").read_text(), re.MULTILINE))
    installs = re.findall(r"pip install (.*?)(?= && |$)", dockerfile, re.MULTILINE)
    assert len(installs) == 3
    for install in installs:
        names = re.sub(r"--(no-deps|require-hashes|(constraint|requirement) /tmp/\w+(\.lock)?)", "", install).split()
        for name in names:
            assert name in locked or "==" in name, f"{name} is pinned nowhere"
    assert re.search(r"torch==[\d.]+", dockerfile)[0] in (ROOT / "pyproject.toml").read_text()


def test_the_environment_file_itself_is_ignored():
    assert ".env" in (ROOT / ".gitignore").read_text().split()
    assert (ROOT / ".dockerignore").read_text().split()[-2:] == ["*", "!requirements.lock"]
