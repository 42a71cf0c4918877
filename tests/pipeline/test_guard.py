"""Who may use our servers: programs of this machine and their own pages, and no web page from elsewhere.

What a worker runs includes the shell commands of a deployment. Three requests make one: a flow, a deployment, a run.
"""

import os
import shutil
import subprocess
import sys
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from uuid import uuid4

import httpx
import pytest
import yaml
from websockets.exceptions import InvalidStatus
from websockets.sync.client import connect
from workspace import ROOT

from flows.engine.stages import end_trees
from flows.servers.process import free_address, is_up

PAGE = "http://page.example"
ASK = httpx.Client(timeout=60)
HELLO = "from prefect import flow\n\n\n@flow\ndef hello():\n    print('hello')\n"


@dataclass
class Site:
    """A folder with the settings of the project, and addresses of its servers."""

    folder: Path
    environment: dict[str, str]
    mlflow: str
    prefect: str

    @property
    def api(self) -> str:
        return f"{self.prefect}/api"

    @property
    def port(self) -> str:
        return self.prefect.rpartition(":")[2]

    def run(self, *command: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            [sys.executable, "-m", *command], cwd=self.folder, env=self.environment, capture_output=True, text=True
        )

    def start(self, *command: str) -> subprocess.Popen[bytes]:
        return subprocess.Popen([sys.executable, "-m", *command], cwd=self.folder, env=self.environment)

    def made(self, name: str) -> list[str]:
        """The names of all flows, or of all deployments, and so on."""
        page = httpx.Client(base_url=self.api, headers=own_page(self), timeout=60)
        return [each["name"] for each in page.post(f"/{name}/filter", json={}).json()]


def site(folder: Path) -> Site:
    shutil.copy(ROOT / "prefect.toml", folder)
    (folder / "hello.py").write_text(HELLO)
    mlflow, prefect = free_address(), free_address()
    variables = {"MLFLOW_TRACKING_URI": mlflow, "PREFECT_API_URL": f"{prefect}/api"}
    state = {"PREFECT_HOME": str(folder / "prefect"), "PYTHONPATH": str(ROOT), "DO_NOT_TRACK": "true"}
    return Site(folder, {**os.environ, **variables, **state}, mlflow, prefect)


def wait_for(condition, process: subprocess.Popen[bytes], seconds: float = 120) -> None:
    deadline = time.monotonic() + seconds
    while not condition():
        assert process.poll() is None and time.monotonic() < deadline
        time.sleep(0.2)


@pytest.fixture(scope="module")
def services(set_up_prefect, tmp_path_factory) -> Iterator[Site]:
    """What `make services` starts, and a worker."""
    here = site(tmp_path_factory.mktemp("services"))
    set_up_prefect(here.environment)
    servers = here.start("flows.servers.services")
    wait_for(lambda: is_up(here.mlflow) and is_up(here.api), servers)
    created = here.run("prefect", "work-pool", "create", "local", "--type", "process")
    assert created.returncode == 0, created.stderr
    worker = here.start("prefect", "worker", "start", "--pool", "local", "--type", "process")
    yield here
    end_trees({worker.pid})
    servers.terminate()
    servers.wait()


@pytest.fixture(scope="module")
def composed(set_up_prefect, tmp_path_factory) -> Iterator[Site]:
    """The Prefect of compose.yaml, with the command and the files of its container, but on sqlite."""
    here = site(tmp_path_factory.mktemp("composed"))
    set_up_prefect(here.environment)
    (here.folder / "prefect.toml").unlink()
    compose = yaml.safe_load((ROOT / "compose.yaml").read_text())
    service = compose["services"]["prefect"]
    for each in service["configs"]:
        shutil.copy(ROOT / compose["configs"][each["source"]]["file"], here.folder / Path(each["target"]).name)
    del here.environment["PYTHONPATH"]
    names = service["environment"]["ASC_HOSTS"]
    here.environment["ASC_HOSTS"] = names.replace("${ASC_HOST:-localhost}", "team.example")
    command = [word.replace("0.0.0.0", "127.0.0.1").replace("4200", here.port) for word in service["command"]]
    server = here.start(*command)
    wait_for(lambda: is_up(here.api), server)
    yield here
    end_trees({server.pid})


def own_page(site: Site) -> dict[str, str]:
    """The headers of Prefect's own page, which has asked for a token first."""
    headers = {"Origin": site.prefect, "Prefect-Csrf-Client": str(uuid4())}
    token = ASK.get(
        f"{site.api}/csrf-token", params={"client": headers["Prefect-Csrf-Client"]}, headers={"Origin": site.prefect}
    )
    return headers | {"Prefect-Csrf-Token": token.json()["token"]}


def three_requests(site: Site, name: str, headers: dict[str, str], kind: str = "application/json") -> list[int]:
    """Have a worker run `touch NAME`: the status codes of the answers."""
    codes, ids = [], []
    page = httpx.Client(base_url=site.api, headers={"Content-Type": kind, **headers}, timeout=60)

    def post(path: str, body: dict) -> None:
        answer = page.post(path, content=httpx.Request("POST", "http://x", json=body).content)
        codes.append(answer.status_code)
        ids.append(answer.json()["id"] if answer.is_success else str(uuid4()))

    post("/flows/", {"name": name})
    steps = [
        {"prefect.deployments.steps.run_shell_script": {"script": f"touch {site.folder / name}"}},
        {"prefect.deployments.steps.set_working_directory": {"directory": str(site.folder)}},
    ]
    deployment = {"name": name, "flow_id": ids[0], "pull_steps": steps, "entrypoint": "hello.py:hello"}
    post("/deployments/", {**deployment, "work_pool_name": "local"})
    post(f"/deployments/{ids[1]}/create_flow_run", {"state": {"type": "SCHEDULED"}})
    return codes


def foreign_pages(site: Site) -> dict[str, tuple[dict[str, str], str]]:
    """The ways in which a page from elsewhere can ask: headers that a browser lets it have, and the kind of body."""
    rebound = {"Host": f"page.example:{site.port}"}
    neighbour = "http://127.0.0.1:1"  # another server of this machine, perhaps with something of a stranger in it
    return {
        "with leave": ({"Origin": PAGE}, "application/json"),
        "without leave": ({"Origin": PAGE}, "text/plain"),
        "hiding": ({"Origin": "null"}, "text/plain"),
        "next door": ({"Origin": neighbour}, "application/json"),
        "rebound": ({**rebound, "Origin": f"http://{rebound['Host']}"}, "application/json"),
        "rebound, without its origin": (rebound, "application/json"),
        "without a token": ({"Origin": site.prefect}, "text/plain"),
    }


def refused(site: Site, name: str) -> None:
    """Hold a server to refusing every foreign page, those too that know a token."""
    for headers, kind in foreign_pages(site).values():
        assert three_requests(site, name, headers, kind) == [403, 403, 403]
    token = own_page(site)
    for headers, kind in foreign_pages(site).values():
        if headers.get("Origin") != site.prefect:
            assert three_requests(site, name, {**token, **headers}, kind) == [403, 403, 403]
            assert ASK.get(f"{site.api}/csrf-token", params={"client": "x"}, headers=headers).status_code == 403
            assert ASK.get(f"{site.prefect}/ui-settings", headers=headers).status_code == 403
    leave = {"Access-Control-Request-Method": "POST", "Access-Control-Request-Headers": "content-type"}
    asked = ASK.request("OPTIONS", f"{site.api}/flows/", headers={"Origin": PAGE, **leave})
    assert asked.status_code == 403 and "access-control-allow-origin" not in asked.headers
    assert name not in site.made("flows") + site.made("deployments")


def test_no_page_from_elsewhere_makes_a_worker_run_a_command(services):
    refused(services, "foreign")
    ours = services.folder / "ours"
    assert three_requests(services, "ours", own_page(services)) == [201, 201, 201]
    done = services.run("prefect", "deployment", "run", "ours/ours", "--watch")
    assert done.returncode == 0, done.stdout + done.stderr
    assert ours.exists() and not (services.folder / "foreign").exists()


@pytest.mark.parametrize("path", ["/events/out", "/events/in", "/logs/out"])
def test_no_page_from_elsewhere_listens_or_tells(services, path):
    url, protocols = f"{services.api.replace('http', 'ws')}{path}", {"/events/in": None}.get(path, ["prefect"])
    for origin in (None, services.prefect):
        connect(url, origin=origin, subprotocols=protocols).close()
    for headers in ({"Origin": PAGE}, {"Origin": "null"}):
        with pytest.raises(InvalidStatus, match="403"):
            connect(url, additional_headers=headers, subprotocols=protocols)


def test_the_own_pages_are_shown_under_each_name_of_this_machine(services):
    for host in (f"127.0.0.1:{services.port}", f"localhost:{services.port}", f"[::1]:{services.port}"):
        headers = {"Host": host, "Origin": f"http://{host}", "Accept": "text/html"}
        page = ASK.get(services.prefect, headers=headers, follow_redirects=False)
        assert page.status_code in (200, 307)
        assert ASK.get(f"{services.prefect}/ui-settings", headers=headers).json()["api_url"] == "/api"


def test_the_prefect_of_the_team_is_guarded_as_well(composed):
    refused(composed, "foreign")
    for host in ("prefect:4200", "team.example", "TEAM.example:80", f"localhost:{composed.port}"):
        assert ASK.get(f"{composed.api}/health", headers={"Host": host}).status_code == 200
    assert ASK.get(f"{composed.api}/health", headers={"Host": "other.example"}).status_code == 403


def test_the_server_of_a_flow_that_finds_none_is_guarded_as_well(tmp_path):
    here = site(tmp_path)
    code = (
        "import prefect.settings, httpx\nfrom hello import hello\nfrom flows.servers.prefect import reachable\n"
        "with reachable():\n"
        "    hello()\n"
        "    url = prefect.settings.PREFECT_API_URL.value() + '/health'\n"
        f"    for headers in ({{}}, {{'Origin': '{PAGE}'}}, {{'Host': 'page.example'}}):\n"
        "        print(httpx.get(url, headers=headers).status_code)\n"
    )
    (tmp_path / "script.py").write_text(code)
    done = here.run("script")
    assert done.stdout.split()[-3:] == ["200", "403", "403"], done.stderr
    assert "Completed" in done.stderr and "Error" not in done.stderr


def test_a_server_that_is_there_and_answers_any_page_is_told_of(tmp_path):
    here = site(tmp_path)
    server = here.start("uvicorn", "--factory", "prefect.server.api.server:create_app", "--port", here.port)
    try:
        wait_for(lambda: is_up(here.api), server)
        code = "from flows.servers.prefect import *\nwith prefect_server(configured_url()) as own: print(own)\n"
        (tmp_path / "script.py").write_text(code)
        done = here.run("script")
        assert done.stdout == "None\n"
        assert done.stderr.startswith(f"warning: the Prefect server at {here.api} answers any web page")
    finally:
        end_trees({server.pid})


def test_mlflow_refuses_pages_from_elsewhere_by_itself(services):
    path, body = f"{services.mlflow}/api/2.0/mlflow/experiments/create", {"name": "foreign"}
    port = services.mlflow.rpartition(":")[2]
    for headers in ({"Origin": PAGE}, {"Host": f"page.example:{port}", "Origin": f"{PAGE}:{port}"}):
        assert ASK.post(path, json=body, headers=headers).status_code == 403
    assert ASK.post(path, json={"name": "ours"}, headers={"Origin": services.mlflow}).status_code == 200
