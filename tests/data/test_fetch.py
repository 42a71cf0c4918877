"""Fetching the TAU archives from servers, disks and archives that misbehave.

FETCH_KILLS sets how often the kill test kills (8 unless told).
"""

import base64
import fcntl
import hashlib
import io
import json
import os
import random
import re
import shutil
import signal
import ssl
import stat
import subprocess
import sys
import time
import warnings
import zipfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from types import SimpleNamespace

import pytest
from full_disk import small_disk
from misbehaving_server import MisbehavingServer, first, seeded

import asc_core
from asc_core import progress
from asc_core.corpus import request, tau, transfer
from asc_core.corpus.config import FetchConfig
from asc_core.corpus.manifest import MANIFESTS, read_manifest
from asc_core.corpus.tau import fetch
from asc_core.errors import UserError

TOP = "TAU-urban-acoustic-scenes-2020-mobile-development"
DOC, META, AUDIO_1 = (f"{TOP}.{part}.zip" for part in ("doc", "meta", "audio.1"))
KILLS = int(os.environ.get("FETCH_KILLS", "8"))


@dataclass(frozen=True)
class Corpus:
    """18 small archives in the shape of the record, and the files they should become."""

    archives: dict[str, bytes]
    files: dict[str, bytes]
    manifest: Path


def zipped(members: dict[str, bytes], top: str = f"{TOP}/") -> bytes:
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, content in members.items():
            archive.writestr(top + name, content)
    return buffer.getvalue()


def write_manifest(path: Path, archives: dict[str, bytes]) -> Path:
    entries = [
        {"filename": name, "md5": hashlib.md5(content).hexdigest(), "bytes": len(content)}
        for name, content in archives.items()
    ]
    path.write_text(json.dumps({"record": "0", "folder": TOP, "archives": entries}))
    return path


@pytest.fixture(scope="session")
def corpus(tmp_path_factory: pytest.TempPathFactory) -> Corpus:
    rng = random.Random(0)
    parts = {
        f"audio.{i}": {f"audio/park-oslo-{i}-{j}-a.wav": rng.randbytes(rng.randrange(300, 12_000)) for j in range(9)}
        for i in range(1, 17)
    }
    clips = [clip for part in parts.values() for clip in part]
    header = "filename\tscene_label\tidentifier\tsource_label\n"
    meta = {
        "meta.csv": header + "".join(f"{c}\tpark\toslo-1\ta\n" for c in clips),
        "evaluation_setup/fold1_train.csv": "filename\tscene_label\n" + "".join(f"{c}\tpark\n" for c in clips[:100]),
        "evaluation_setup/fold1_evaluate.csv": "filename\tscene_label\n" + "".join(f"{c}\tpark\n" for c in clips[100:]),
        "evaluation_setup/fold1_test.csv": "filename\n" + "".join(f"{c}\n" for c in clips[100:]),
    }
    parts = {"doc": {"README.md": b"read me"}, "meta": {name: text.encode() for name, text in meta.items()}} | parts
    archives = {f"{TOP}.{part}.zip": zipped(members) for part, members in parts.items()}
    manifest = write_manifest(tmp_path_factory.mktemp("record") / "manifest.json", archives)
    return Corpus(archives, {path: content for part in parts.values() for path, content in part.items()}, manifest)


@pytest.fixture(scope="session")
def corpus_2022(corpus: Corpus, tmp_path_factory: pytest.TempPathFactory) -> Corpus:
    """The same in the shape of 2022: no sizes in the manifest, and tables beside the archives, one with other line ends
    than its checksum is of, one that is another under a second name."""
    train = corpus.files["evaluation_setup/fold1_train.csv"]
    tables = {f"split{n}.csv": b"".join(train.splitlines(keepends=True)[:n]) for n in (5, 10, 25, 50)}
    stated = {name: hashlib.md5(content).hexdigest() for name, content in tables.items()}
    tables["split10.csv"] = tables["split10.csv"].replace(b"\n", b"\r\n")
    copies = {"split100.csv": "evaluation_setup/fold1_train.csv"}
    content = json.loads(corpus.manifest.read_text())
    for archive in content["archives"]:
        archive["bytes"] = None
    files = [{"filename": name, "md5": md5, "bytes": None} for name, md5 in stated.items()]
    content["tables"] = {"base_url": "", "folder": "split_setup", "files": files, "copies": copies}
    manifest = tmp_path_factory.mktemp("record") / "manifest.json"
    manifest.write_text(json.dumps(content))
    placed = {f"split_setup/{name}": content for name, content in {**tables, "split100.csv": train}.items()}
    return Corpus(corpus.archives | tables, corpus.files | placed, manifest)


@pytest.fixture
def server(corpus: Corpus) -> Iterator[MisbehavingServer]:
    with MisbehavingServer(corpus.archives) as running:
        yield running


@pytest.fixture(autouse=True)
def impatient(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(transfer, "BACKOFF", 0.005)
    monkeypatch.setattr(request, "TIMEOUT", 5.0)


@pytest.fixture
def own(corpus: Corpus, tmp_path: Path) -> Path:
    """A folder in which the user already has all archives."""
    folder = tmp_path / "own"
    folder.mkdir()
    for name, content in corpus.archives.items():
        (folder / name).write_bytes(content)
    return folder


def found(folder: Path) -> dict[str, bytes]:
    """All files of a folder but the record of what was fetched."""
    paths = [path for path in folder.rglob("*") if path.is_file() and path.name != tau.STATE]
    return {path.relative_to(folder).as_posix(): path.read_bytes() for path in paths}


def assert_one_line(error: pytest.ExceptionInfo[UserError], *parts: str) -> None:
    assert "\n" not in str(error.value)
    for part in parts:
        assert part in str(error.value)


# --- the network


def test_fetches_every_file_and_leaves_nothing_else(corpus: Corpus, server: MisbehavingServer, tmp_path: Path) -> None:
    fetch(tmp_path / "tau", FetchConfig(server.url), manifest=corpus.manifest)
    assert found(tmp_path / "tau") == corpus.files
    assert len(server.requests) == 18


def test_complete_folder_is_not_touched(corpus: Corpus, tmp_path: Path) -> None:
    with MisbehavingServer(corpus.archives) as server:
        fetch(tmp_path, FetchConfig(server.url), manifest=corpus.manifest)
    changed = tmp_path.stat().st_mtime_ns
    fetch(tmp_path, FetchConfig(server.url), manifest=corpus.manifest)
    assert tmp_path.stat().st_mtime_ns == changed


def test_archive_that_the_record_replaced_is_fetched(corpus: Corpus, server: MisbehavingServer, tmp_path: Path) -> None:
    fetch(tmp_path / "tau", FetchConfig(server.url), manifest=corpus.manifest)
    server.files = corpus.archives | {DOC: zipped({"README.md": b"READ ME"})}
    manifest = write_manifest(tmp_path / "manifest.json", server.files)
    fetch(tmp_path / "tau", FetchConfig(server.url), manifest=manifest)
    assert found(tmp_path / "tau") == corpus.files | {"README.md": b"READ ME"}
    assert server.counts[DOC] == 2 and server.counts[META] == 1


def test_folder_completed_by_others_is_left_alone(corpus: Corpus, server: MisbehavingServer, tmp_path: Path) -> None:
    for path, content in corpus.files.items():
        (tmp_path / path).parent.mkdir(exist_ok=True)
        (tmp_path / path).write_bytes(content)
    fetch(tmp_path, FetchConfig(server.url), manifest=corpus.manifest)
    assert not server.requests
    assert not (tmp_path / tau.STATE).exists()
    next(iter((tmp_path / "audio").iterdir())).unlink()
    fetch(tmp_path, FetchConfig(server.url), manifest=corpus.manifest)
    assert found(tmp_path) == corpus.files


def test_only_the_archive_of_a_lost_file_is_fetched_again(
    corpus: Corpus, server: MisbehavingServer, tmp_path: Path
) -> None:
    fetch(tmp_path, FetchConfig(server.url), manifest=corpus.manifest)
    server.requests.clear()
    (tmp_path / "audio/park-oslo-7-3-a.wav").unlink()
    fetch(tmp_path, FetchConfig(server.url), manifest=corpus.manifest)
    assert found(tmp_path) == corpus.files
    assert [request.name for request in server.requests] == [f"{TOP}.audio.7.zip"]


@pytest.mark.parametrize("seed", range(3))
def test_cuts_and_outages_are_outlasted(corpus: Corpus, server: MisbehavingServer, tmp_path: Path, seed: int) -> None:
    server.plan = seeded(seed, cut=0.4, unavailable=0.1, limited=0.1, page=0.05)
    fetch(tmp_path, FetchConfig(server.url), manifest=corpus.manifest)
    assert found(tmp_path) == corpus.files
    assert any(request.start for request in server.requests), "no download was resumed"


@pytest.mark.parametrize("fault, requests", [("no_range", 2), ("wrong_range", 3), ("refused_range", 3)])
def test_servers_that_cannot_resume(
    corpus: Corpus, server: MisbehavingServer, tmp_path: Path, fault: str, requests: int
) -> None:
    server.plan = lambda name, n: "cut" if n == 0 else fault if n == 1 else None
    fetch(tmp_path, FetchConfig(server.url), manifest=corpus.manifest)
    assert found(tmp_path) == corpus.files
    starts = server.starts(AUDIO_1)
    assert starts[1] and starts == [None, starts[1], None][:requests]


def test_resumes_at_the_byte_where_the_connection_was_cut(
    corpus: Corpus, server: MisbehavingServer, tmp_path: Path
) -> None:
    content = corpus.archives[AUDIO_1]
    (tmp_path / tau.WORK).mkdir()
    (tmp_path / tau.WORK / f"{AUDIO_1}.part").write_bytes(content[:1234])
    fetch(tmp_path, FetchConfig(server.url), manifest=corpus.manifest)
    assert server.starts(AUDIO_1) == [1234]
    assert found(tmp_path) == corpus.files


@pytest.mark.parametrize("left, starts", [(b"not the archive", [15, None]), (bytes(1_000_000), [None])])
def test_foreign_partial_files_are_replaced(
    corpus: Corpus, server: MisbehavingServer, tmp_path: Path, left: bytes, starts: list[int | None]
) -> None:
    (tmp_path / tau.WORK).mkdir()
    (tmp_path / tau.WORK / f"{AUDIO_1}.part").write_bytes(left)
    fetch(tmp_path, FetchConfig(server.url), manifest=corpus.manifest)
    assert server.starts(AUDIO_1) == starts
    assert found(tmp_path) == corpus.files


@pytest.mark.parametrize("as_date", [False, True])
def test_retry_after_is_honoured(corpus: Corpus, server: MisbehavingServer, tmp_path: Path, as_date: bool) -> None:
    soon = time.strftime("%a, %d %b %Y %H:%M:%S GMT", time.gmtime(time.time() + 2))  # 1 to 2 seconds from now
    server.plan, server.retry_after = first(1, "limited", AUDIO_1), soon if as_date else "1"
    fetch(tmp_path, FetchConfig(server.url), manifest=corpus.manifest)
    refused, served = (request.at for request in server.requests if request.name == AUDIO_1)
    assert 0.9 < served - refused < 4


def test_retry_after_is_bounded(
    corpus: Corpus, server: MisbehavingServer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(request, "LONGEST_RETRY_AFTER", 0.1)
    server.plan, server.retry_after = first(1, "unavailable"), "86400"
    fetch(tmp_path, FetchConfig(server.url), manifest=corpus.manifest)
    assert found(tmp_path) == corpus.files


def test_endless_answer_is_cut_short(corpus: Corpus, server: MisbehavingServer, tmp_path: Path) -> None:
    server.plan = first(1, "endless", AUDIO_1)
    fetch(tmp_path, FetchConfig(server.url), manifest=corpus.manifest)
    assert found(tmp_path) == corpus.files
    assert 0 < server.overrun < 1 << 25  # what fits into the buffers of two sockets


def test_silent_server_is_given_up_and_resumed(
    corpus: Corpus, server: MisbehavingServer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(request, "TIMEOUT", 0.3)
    server.plan = first(1, "hang", AUDIO_1)
    fetch(tmp_path, FetchConfig(server.url), manifest=corpus.manifest)
    assert server.starts(AUDIO_1) == [None, len(corpus.archives[AUDIO_1]) // 2]


def test_wrong_content_once(corpus: Corpus, server: MisbehavingServer, tmp_path: Path) -> None:
    server.plan = first(1, "wrong_content")
    fetch(tmp_path, FetchConfig(server.url), manifest=corpus.manifest)
    assert found(tmp_path) == corpus.files


def test_wrong_content_always(corpus: Corpus, server: MisbehavingServer, tmp_path: Path) -> None:
    server.plan = first(1000, "wrong_content", AUDIO_1)
    with pytest.raises(UserError) as error:
        fetch(tmp_path, FetchConfig(server.url), manifest=corpus.manifest)
    wrong = bytes(byte ^ 1 for byte in corpus.archives[AUDIO_1])
    md5s = [hashlib.md5(content).hexdigest() for content in (corpus.archives[AUDIO_1], wrong)]
    assert_one_line(error, AUDIO_1, *md5s)
    assert server.counts[AUDIO_1] == 3
    assert not list((tmp_path / tau.WORK).glob(f"{AUDIO_1}*"))
    assert not list((tmp_path / "audio").glob("park-oslo-1-*"))


@pytest.mark.parametrize("fault, requests", [("missing", 1), ("unavailable", 6), ("page", 6)])
def test_hopeless_servers_end_in_one_line(
    corpus: Corpus, server: MisbehavingServer, tmp_path: Path, fault: str, requests: int
) -> None:
    server.plan = first(1000, fault, AUDIO_1)
    with pytest.raises(UserError) as error:
        fetch(tmp_path, FetchConfig(server.url), manifest=corpus.manifest)
    assert_one_line(error, AUDIO_1)
    assert server.counts[AUDIO_1] == requests


@pytest.mark.parametrize(
    "url, advice", [("http://127.0.0.1:1/files", "run it again to go on"), ("no-scheme/files", "check base_url")]
)
def test_unreachable_servers_end_in_one_line(corpus: Corpus, tmp_path: Path, url: str, advice: str) -> None:
    with pytest.raises(UserError) as error:
        fetch(tmp_path, FetchConfig(url), manifest=corpus.manifest)
    assert_one_line(error, url, advice)


# --- what only the server knows, and tables beside the archives


@pytest.mark.parametrize("seed", range(2))
def test_sizes_that_the_manifest_lacks_are_the_servers(
    corpus_2022: Corpus, server: MisbehavingServer, tmp_path: Path, seed: int
) -> None:
    server.files = corpus_2022.archives
    server.plan = seeded(seed, cut=0.3, unavailable=0.1, limited=0.1, page=0.05)
    fetch(tmp_path, FetchConfig(server.url), manifest=corpus_2022.manifest)
    assert found(tmp_path) == corpus_2022.files
    assert any(request.start for request in server.requests), "no download was resumed"
    server.requests.clear()
    fetch(tmp_path, FetchConfig(server.url), manifest=corpus_2022.manifest)
    assert not server.requests


def test_a_page_in_place_of_a_file_is_not_its_size(
    corpus_2022: Corpus, server: MisbehavingServer, tmp_path: Path
) -> None:
    server.files, server.plan = corpus_2022.archives, first(1, "page")
    fetch(tmp_path, FetchConfig(server.url), manifest=corpus_2022.manifest)
    assert found(tmp_path) == corpus_2022.files


@pytest.mark.parametrize("fault", ["missing", "unavailable", "endless"])
def test_a_server_that_states_no_size_ends_in_one_line(
    corpus_2022: Corpus, server: MisbehavingServer, tmp_path: Path, fault: str
) -> None:
    server.files, server.plan = corpus_2022.archives, first(1000, fault, AUDIO_1)
    with pytest.raises(UserError) as error:
        fetch(tmp_path, FetchConfig(server.url), manifest=corpus_2022.manifest)
    assert_one_line(error, AUDIO_1)
    assert server.counts[AUDIO_1] == (1 if fault == "missing" else 6)
    assert server.overrun < 1 << 26, "a body was read for the size of its file"


def test_a_server_that_states_a_monstrous_size_finds_no_room(
    corpus_2022: Corpus, server: MisbehavingServer, tmp_path: Path
) -> None:
    server.files = corpus_2022.archives
    server.plan, server.raw = first(1000, "raw", AUDIO_1), b"HTTP/1.1 200 OK\r\nContent-Length: 999999999999999\r\n\r\n"
    with pytest.raises(UserError, match="of disk space are missing"):
        fetch(tmp_path, FetchConfig(server.url), manifest=corpus_2022.manifest)


def test_tables_are_fetched_into_a_folder_that_others_completed(
    corpus: Corpus, corpus_2022: Corpus, server: MisbehavingServer, tmp_path: Path
) -> None:
    server.files = corpus_2022.archives
    for path, content in corpus.files.items():
        (tmp_path / path).parent.mkdir(exist_ok=True)
        (tmp_path / path).write_bytes(content)
    for _ in range(2):
        fetch(tmp_path, FetchConfig(server.url), manifest=corpus_2022.manifest)
        assert found(tmp_path) == corpus_2022.files
    assert {request.name for request in server.requests} == {"split5.csv", "split10.csv", "split25.csv", "split50.csv"}
    server.requests.clear()
    (tmp_path / "split_setup/split25.csv").unlink()
    fetch(tmp_path, FetchConfig(server.url), manifest=corpus_2022.manifest)
    assert found(tmp_path) == corpus_2022.files and {request.name for request in server.requests} == {"split25.csv"}


def test_a_table_of_other_content_is_refused(corpus_2022: Corpus, server: MisbehavingServer, tmp_path: Path) -> None:
    server.files = corpus_2022.archives | {"split25.csv": b"filename\tscene_label\n"}
    with pytest.raises(UserError) as error:
        fetch(tmp_path, FetchConfig(server.url), manifest=corpus_2022.manifest)
    assert_one_line(error, "split25.csv", "wrong checksum in 3 downloads")
    assert not (tmp_path / "split_setup/split25.csv").exists()


def test_own_archives_may_have_any_size(corpus_2022: Corpus, tmp_path: Path) -> None:
    own = tmp_path / "own"
    own.mkdir()
    for name, content in corpus_2022.archives.items():
        (own / name).write_bytes(content)
    fetch(tmp_path / "tau", FetchConfig(archives=str(own)), manifest=corpus_2022.manifest)
    assert found(tmp_path / "tau") == corpus_2022.files
    assert {path.name: path.read_bytes() for path in own.iterdir()} == corpus_2022.archives


# --- what no server may do: redirect to anywhere, send without end, keep a fetch for days


@pytest.fixture
def one(corpus: Corpus, tmp_path: Path) -> Path:
    """A manifest of one archive."""
    return write_manifest(tmp_path / "one.json", {AUDIO_1: corpus.archives[AUDIO_1]})


def test_redirects_are_followed_and_get_no_password(corpus: Corpus, server: MisbehavingServer, tmp_path: Path) -> None:
    with MisbehavingServer(corpus.archives, lambda name, n: "redirect") as mirror:
        mirror.location = server.url
        server.plan = first(1, "cut", AUDIO_1)
        config = FetchConfig(mirror.url.replace("://", "://reader:s3cret@"))
        fetch(tmp_path, config, manifest=corpus.manifest)
    assert found(tmp_path) == corpus.files
    assert server.starts(AUDIO_1)[1]
    basic = "Basic " + base64.b64encode(b"reader:s3cret").decode()
    assert {request.authorization for request in mirror.requests} == {basic}
    assert {request.authorization for request in server.requests} == {None}


def test_redirects_without_end_are_given_up(one: Path, server: MisbehavingServer, tmp_path: Path) -> None:
    server.plan, server.location = first(1000, "redirect"), server.url
    with pytest.raises(UserError) as error:
        fetch(tmp_path / "tau", FetchConfig(server.url), manifest=one)
    assert_one_line(error, AUDIO_1, "more than 5 redirects")
    assert server.counts[AUDIO_1] == 6


@pytest.mark.parametrize("location", ["file:///etc", "ftp://127.0.0.1", "data:text", "javascript:x"])
def test_redirects_to_other_schemes_are_refused(
    one: Path, server: MisbehavingServer, tmp_path: Path, location: str
) -> None:
    server.plan, server.location = first(1000, "redirect"), location
    with pytest.raises(UserError) as error:
        fetch(tmp_path / "tau", FetchConfig(server.url), manifest=one)
    assert_one_line(error, AUDIO_1, "redirects to")
    assert server.counts[AUDIO_1] == 1
    assert server.overrun < 1 << 25, "the body of a redirect was read"


@pytest.fixture
def tls(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> ssl.SSLContext:
    """What a server needs for https on 127.0.0.1, and clients made from now on trust."""
    pem = tmp_path / "server.pem"
    command = ["openssl", "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", "1", "-subj", "/CN=127.0.0.1"]
    command += ["-addext", "subjectAltName=IP:127.0.0.1", "-keyout", str(pem), "-out", str(tmp_path / "cert.pem")]
    try:
        subprocess.run(command, check=True, capture_output=True)
    except FileNotFoundError:
        pytest.skip("needs openssl to make a certificate")
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(tmp_path / "cert.pem", pem)
    monkeypatch.setenv("SSL_CERT_FILE", str(tmp_path / "cert.pem"))
    return context


def test_https_may_be_redirected_to_https_but_not_to_http(
    corpus: Corpus, one: Path, server: MisbehavingServer, tmp_path: Path, tls: ssl.SSLContext
) -> None:
    with MisbehavingServer(corpus.archives, first(1, "redirect"), tls=tls) as secure:
        secure.location = server.url
        with pytest.raises(UserError) as error:
            fetch(tmp_path / "tau", FetchConfig(secure.url), manifest=one)
        assert_one_line(error, AUDIO_1, "http://127.0.0.1")
        assert not server.requests
        secure.counts.clear()
        secure.location = secure.url
        fetch(tmp_path / "tau", FetchConfig(secure.url), manifest=one)
        assert secure.counts[AUDIO_1] == 2
        # From http to https is better than asked for.
        server.plan, server.location = first(1, "redirect"), secure.url
        fetch(tmp_path / "again", FetchConfig(server.url), manifest=one)
        assert secure.counts[AUDIO_1] == 3


def test_pages_of_errors_are_not_read(one: Path, server: MisbehavingServer, tmp_path: Path) -> None:
    server.plan = first(1000, "endless_missing")
    with pytest.raises(UserError) as error:
        fetch(tmp_path / "tau", FetchConfig(server.url), manifest=one)
    assert_one_line(error, AUDIO_1, "HTTP 404 Not Found")
    assert server.overrun < 1 << 25


@pytest.mark.parametrize("fault", ["drip", "drip_head"])
def test_transfer_below_the_least_rate_is_cut_and_resumed(
    corpus: Corpus, one: Path, server: MisbehavingServer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, fault: str
) -> None:
    monkeypatch.setattr(request, "LEAST_RATE_SECONDS", 0.5)
    server.plan = first(1, fault)
    fetch(tmp_path / "tau", FetchConfig(server.url), manifest=one)
    first_start, second_start = server.starts(AUDIO_1)
    assert first_start is None
    assert (second_start or 0) >= len(corpus.archives[AUDIO_1]) // 2 if fault == "drip" else second_start is None


@pytest.mark.parametrize("secure", [False, True])
@pytest.mark.parametrize("fault", ["drip", "drip_head"])
def test_server_that_drips_for_ever_is_given_up(
    corpus: Corpus,
    one: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    tls: ssl.SSLContext,
    fault: str,
    secure: bool,
) -> None:
    monkeypatch.setattr(request, "LEAST_RATE_SECONDS", 0.2)
    with MisbehavingServer(corpus.archives, first(1000, fault), tls=tls if secure else None) as server:
        with pytest.raises(UserError) as error:
            fetch(tmp_path / "tau", FetchConfig(server.url), manifest=one)
        assert_one_line(error, AUDIO_1, "less than 10 KB/s", "run it again to go on")


def test_server_that_sends_a_byte_for_each_request_is_given_up(
    one: Path, server: MisbehavingServer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(request, "LEAST_RATE_SECONDS", 0.1)
    monkeypatch.setattr(transfer, "BACKOFF", 0.1)
    server.plan = first(1000, "raw")
    size = json.loads(one.read_text())["archives"][0]["bytes"]

    def one_byte(name: str, n: int) -> str:
        server.raw = f"HTTP/1.1 206 X\r\nContent-Range: bytes {n}-{n}/{size}\r\nContent-Length: 1\r\n\r\nx".encode()
        if n == 0:
            server.raw = f"HTTP/1.1 200 OK\r\nContent-Length: {size}\r\n\r\nx".encode()
        return "raw"

    server.plan = one_byte
    with pytest.raises(UserError) as error:
        fetch(tmp_path / "tau", FetchConfig(server.url), manifest=one)
    assert_one_line(error, AUDIO_1, "too slow", "run it again to go on")
    assert (tmp_path / "tau" / tau.WORK / f"{AUDIO_1}.part").stat().st_size > 1


DIGITS = "9" * 5000  # more than Python makes a number of
MONSTROUS = {
    "range": f"206 X\r\nContent-Range: bytes {DIGITS}-{DIGITS}/{DIGITS}\r\nContent-Length: 1\r\n\r\nx",
    "start of range": f"206 X\r\nContent-Range: bytes {DIGITS}-5/*\r\nContent-Length: 1\r\n\r\nx",
    "negative range": "206 X\r\nContent-Range: bytes -5--3/-9\r\nContent-Length: 1\r\n\r\nx",
    "length": f"200 OK\r\nContent-Length: {DIGITS}\r\n\r\nx",
    "negative length": "200 OK\r\nContent-Length: -5\r\n\r\nx",
    "two lengths": "200 OK\r\nContent-Length: 5\r\nContent-Length: 7\r\n\r\nx",
    "chunk": f"200 OK\r\nTransfer-Encoding: chunked\r\n\r\n{'F' * 5000}\r\nx",
    "wait": f"503 X\r\nRetry-After: {DIGITS}\r\nContent-Length: 0\r\n\r\n",
    "negative wait": f"503 X\r\nRetry-After: -{DIGITS}\r\nContent-Length: 0\r\n\r\n",
    "wait until": f"503 X\r\nRetry-After: Mon, 01 Jan {DIGITS} 00:00:00 GMT\r\nContent-Length: 0\r\n\r\n",
    "wait until zone": f"503 X\r\nRetry-After: Mon, 01 Jan 2020 00:00:00 +{DIGITS}\r\nContent-Length: 0\r\n\r\n",
    "wait until the year 1": "503 X\r\nRetry-After: Mon, 01 Jan 0001 00:00:00 -0000\r\nContent-Length: 0\r\n\r\n",
    "status": f"{DIGITS} X\r\n\r\n",
    "reason": f"503 {'x' * 90_000}\r\nContent-Length: 0\r\n\r\n",
    "header": f"200 OK\r\nX-Long: {'x' * 1_000_000}\r\n\r\n",
    "headers": "200 OK\r\n" + 10_000 * "X-Many: xxxxxxxxxxxxxxxxxxxxxxxx\r\n" + "\r\n",
    "endless continuation": 10_000 * "100 Continue\r\n\r\nHTTP/1.1 ",
    "cookie": f"503 X\r\nSet-Cookie: a=b; expires=Mon, 01 Jan {DIGITS} 00:00:00 GMT\r\nContent-Length: 0\r\n\r\n",
    "escapes": "200 OK\r\nContent-Length: \x1b[31m7\x1b[0m\r\n\r\nx",
}


@pytest.mark.filterwarnings("error")
@pytest.mark.parametrize("monster", MONSTROUS)
def test_monstrous_answers_are_that_mirror_s_fault(
    one: Path, server: MisbehavingServer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str], monster: str,
) -> None:  # fmt: skip
    monkeypatch.setattr(request, "LONGEST_RETRY_AFTER", 0.01)
    server.plan, server.raw = first(1000, "raw"), f"HTTP/1.1 {MONSTROUS[monster]}".encode()
    with pytest.raises(UserError) as error:
        fetch(tmp_path / "tau", FetchConfig(server.url), manifest=one)
    assert_one_line(error, AUDIO_1, server.url, "run it again to go on")
    shown = [str(error.value), *capsys.readouterr().err.splitlines()]
    assert all(len(line) < 600 and line.isprintable() for line in shown)
    server.plan = lambda name, n: None
    fetch(tmp_path / "tau", FetchConfig(server.url), manifest=one)


@pytest.mark.parametrize("location", ["http://" + "a" * 300 + ".b", "http://....", "http://xn--00000000000", "http:x"])
def test_redirects_to_no_address_end_in_one_line(
    one: Path, server: MisbehavingServer, tmp_path: Path, location: str
) -> None:
    server.plan, server.location = first(1000, "redirect"), location
    with pytest.raises(UserError) as error:
        fetch(tmp_path / "tau", FetchConfig(server.url), manifest=one)
    assert_one_line(error, AUDIO_1, server.url)


@pytest.mark.parametrize("fault", ["missing", "unavailable", "wrong_content", "redirect", "page", "unreachable"])
def test_passwords_are_not_shown(
    one: Path, server: MisbehavingServer, tmp_path: Path, capsys: pytest.CaptureFixture[str], fault: str
) -> None:
    server.plan, server.location = first(1000, fault), server.url
    url = "http://127.0.0.1:1/files" if fault == "unreachable" else server.url
    with pytest.raises(UserError) as error:
        fetch(tmp_path / "tau", FetchConfig(url.replace("://", "://reader:s3cret@")), manifest=one)
    assert_one_line(error, AUDIO_1, url)
    shown = str(error.value) + capsys.readouterr().err
    assert "s3cret" not in shown and "reader" not in shown


@pytest.mark.parametrize("connections", [1, 4])
def test_number_of_connections(corpus: Corpus, server: MisbehavingServer, tmp_path: Path, connections: int) -> None:
    def wait_for_others(name: str, n: int) -> None:
        deadline = time.monotonic() + 5
        while server.most_active < connections and time.monotonic() < deadline:
            time.sleep(0.001)

    server.plan, server.delay = wait_for_others, 0.0005
    fetch(tmp_path, FetchConfig(server.url, connections=connections), manifest=corpus.manifest)
    assert server.most_active == connections


# --- what the user has and asks for


def test_own_archives_are_used_and_left_alone(corpus: Corpus, own: Path, tmp_path: Path) -> None:
    fetch(tmp_path / "tau", FetchConfig("http://127.0.0.1:1", archives=str(own)), manifest=corpus.manifest)
    assert found(tmp_path / "tau") == corpus.files
    assert found(own) == corpus.archives


def test_own_archive_missing_or_wrong(corpus: Corpus, own: Path, tmp_path: Path) -> None:
    (own / META).write_bytes(b"wrong")
    with pytest.raises(UserError) as error:
        fetch(tmp_path / "tau", FetchConfig(archives=str(own), connections=1), manifest=corpus.manifest)
    assert_one_line(error, str(own / META), hashlib.md5(b"wrong").hexdigest())
    assert (own / META).read_bytes() == b"wrong"
    (own / META).unlink()
    with pytest.raises(UserError, match="no such file"):
        fetch(tmp_path / "tau", FetchConfig(archives=str(own), connections=1), manifest=corpus.manifest)


def test_archives_are_kept_on_request(corpus: Corpus, server: MisbehavingServer, tmp_path: Path) -> None:
    fetch(tmp_path, FetchConfig(server.url, keep_archives=True), manifest=corpus.manifest)
    assert found(tmp_path / tau.KEPT) == corpus.archives
    fetch(tmp_path, FetchConfig(server.url), manifest=corpus.manifest)
    assert found(tmp_path / tau.KEPT) == corpus.archives


def test_space_is_checked_first(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(shutil, "disk_usage", lambda path: SimpleNamespace(free=10e9))
    config = FetchConfig("http://127.0.0.1:1/files")
    with pytest.raises(UserError) as error:
        fetch(tmp_path, config, manifest=MANIFESTS["tau2020"])
    assert_one_line(error, str(tmp_path), " 28.5 GB of disk space are missing", "38.5 GB", "10.0 GB")
    with open(tmp_path / tau.WORK / f"{AUDIO_1}.part", "wb") as part:
        part.truncate(1_700_000_000)
    with pytest.raises(UserError, match=r" 26\.8 GB of disk space are missing"):
        fetch(tmp_path, config, manifest=MANIFESTS["tau2020"])


def test_full_disk_ends_in_one_line_and_the_next_run_goes_on(
    corpus: Corpus, server: MisbehavingServer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(tau, "EXPANSION", 0.0)
    with small_disk(tmp_path / "disk", 1) as disk:
        filler = disk / "filler"
        filler.write_bytes(bytes(400_000))
        folder = disk / "tau"
        with pytest.raises(UserError) as error:
            fetch(folder, FetchConfig(server.url), manifest=corpus.manifest)
        assert_one_line(error, str(folder), "No space left")
        visible = {path: content for path, content in found(folder).items() if not path.startswith(".")}
        assert visible.items() <= corpus.files.items()
        assert not list(folder.rglob("member")) and not list(folder.rglob("*.json.*"))
        filler.unlink()
        subprocess.run(["mount", "-o", "remount,size=10m", str(disk)], check=True)
        fetch(folder, FetchConfig(server.url), manifest=corpus.manifest)
        assert found(folder) == corpus.files


def test_read_only_folder_ends_in_one_line(corpus: Corpus, server: MisbehavingServer, tmp_path: Path) -> None:
    with small_disk(tmp_path / "disk", 1, "ro") as disk, pytest.raises(UserError) as error:
        fetch(disk / "tau", FetchConfig(server.url), manifest=corpus.manifest)
    assert_one_line(error, str(tmp_path / "disk" / "tau"), "Read-only file system")
    assert not server.requests


def test_bad_parameters(corpus: Corpus, tmp_path: Path) -> None:
    with pytest.raises(UserError, match="connections: "):
        FetchConfig(connections=0)
    with pytest.raises(UserError, match="/no/such/folder: no such folder"):
        fetch(tmp_path, FetchConfig(archives="/no/such/folder"), manifest=corpus.manifest)


def test_damaged_record_of_what_is_in_place(corpus: Corpus, tmp_path: Path) -> None:
    (tmp_path / tau.STATE).write_text(json.dumps({META: 3}))
    with pytest.raises(UserError, match="delete it"):
        fetch(tmp_path, FetchConfig("http://127.0.0.1:1"), manifest=corpus.manifest)


def test_second_fetch_into_the_same_folder_is_refused(
    corpus: Corpus, server: MisbehavingServer, tmp_path: Path
) -> None:
    (tmp_path / tau.WORK).mkdir()
    with open(tmp_path / tau.WORK / "lock", "w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        with pytest.raises(UserError, match="another fetch"):
            fetch(tmp_path, FetchConfig(server.url), manifest=corpus.manifest)
    fetch(tmp_path, FetchConfig(server.url), manifest=corpus.manifest)
    assert found(tmp_path) == corpus.files


@pytest.mark.parametrize("terminal", [False, True])
def test_progress_shows_rate_and_time_left(
    corpus: Corpus, server: MisbehavingServer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, terminal: bool
) -> None:
    class Terminal(io.StringIO):
        def isatty(self) -> bool:
            return terminal

    monkeypatch.setattr(sys, "stderr", Terminal())
    monkeypatch.setattr(progress, "LINE_SECONDS", 0.05)
    monkeypatch.setenv("TERM", "xterm")
    monkeypatch.setenv("COLUMNS", "120")
    server.delay = 0.002
    fetch(tmp_path, FetchConfig(server.url), manifest=corpus.manifest)
    shown = sys.stderr.getvalue()  # type: ignore[union-attr]
    pattern = r"[\d.]+ MB/s.* \d:\d\d:\d\d" if terminal else r"fetch: [\d.]+ of [\d.]+ GB, [\d.]+ MB/s, \d+ min left"
    assert re.search(pattern, re.sub(r"\x1b\[[\d;?]*\w", "", shown))
    assert f"{AUDIO_1}: 9 files in place" in shown


def test_manifest_is_the_record() -> None:
    manifest = read_manifest(MANIFESTS["tau2020"])
    assert manifest.top == TOP and manifest.downloads == manifest.archives
    assert len({archive.md5 for archive in manifest.archives}) == 18
    assert sum(archive.bytes for archive in manifest.archives) == 27_364_817_167


def test_manifest_of_2022_is_its_record_and_the_shares_of_2024() -> None:
    manifest = read_manifest(MANIFESTS["tau2022"])
    assert manifest.top == TOP.replace("2020", "2022") and len({archive.md5 for archive in manifest.archives}) == 18
    tables = {each.path for each in manifest.downloads if each.folder} | manifest.copies.keys()
    shares = {f"split_setup/split{share}.csv" for share in (5, 10, 25, 50, 100)}
    assert tables == shares | {"split_setup/test.csv"}
    sources = {each.base_url.split("/")[2] for each in manifest.downloads}
    assert sources == {"zenodo.org", "github.com"}


def test_import_needs_the_standard_library_only() -> None:
    code = "import sys, asc_core.corpus.tau; print({'httpx', 'rich', 'tqdm', 'numpy'} & set(sys.modules))"
    assert run_python(code).communicate(timeout=20)[0].strip() == "set()"


# --- interruptions

CHILD = """
import os, signal, sys, time
from pathlib import Path
import httpx, rich
from asc_core import progress
from asc_core.corpus import request, tau, transfer
signal.signal(signal.SIGINT, signal.default_int_handler)  # a test run in the background inherits that it is ignored
url, folder, manifest, slowness = sys.argv[1:]
replace = os.replace
def slow(source, target):
    time.sleep(float(slowness))
    replace(source, target)
os.replace = slow
transfer.BACKOFF = 0.005
print("ready", flush=True)
tau.fetch(Path(folder), tau.FetchConfig(url), manifest=Path(manifest))
"""


def run_python(code: str, *arguments: object) -> subprocess.Popen[str]:
    environment = os.environ | {"PYTHONPATH": str(Path(asc_core.__file__).parents[1])}
    command = [sys.executable, "-c", code, *map(str, arguments)]
    return subprocess.Popen(command, env=environment, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True)


def start_fetch(
    server: MisbehavingServer, folder: Path, corpus: Corpus, slowness: float = 0.0
) -> subprocess.Popen[str]:
    """A process that is about to call fetch()."""
    child = run_python(CHILD, server.url, folder, corpus.manifest, slowness)
    assert child.stdout and child.stdout.readline() == "ready\n"
    return child


def archives_in_place(folder: Path) -> set[str]:
    state = folder / tau.STATE
    return set(json.loads(state.read_text())) if state.exists() else set()


@pytest.mark.parametrize("shape", ["corpus", "corpus_2022"])
def test_kills_at_any_moment_lose_nothing(
    shape: str, server: MisbehavingServer, tmp_path: Path, request: pytest.FixtureRequest
) -> None:
    corpus: Corpus = request.getfixturevalue(shape)
    server.files = corpus.archives
    # Slow enough for about ten kills; where a fetch comes to its end, the next kills are for a new folder.
    server.plan = seeded(1, cut=0.1, unavailable=0.05)
    server.delay, slowness = 0.008, 0.005
    rng = random.Random(KILLS)
    kills = resumed = folders = 0
    at_kill = []
    folder = tmp_path / "0"
    while kills < KILLS or (not resumed and kills < 10 * KILLS):  # on a busy machine many kills come too early
        before, asked = archives_in_place(folder), len(server.requests)
        child = start_fetch(server, folder, corpus, slowness)
        time.sleep(rng.uniform(0, 0.5))
        ended = child.poll() is not None
        child.kill()
        child.communicate()
        requests = server.requests[asked:]
        assert before <= archives_in_place(folder)
        assert before.isdisjoint(request.name for request in requests), "an archive in place was downloaded again"
        visible = {path: content for path, content in found(folder).items() if not path.startswith(".")}
        assert visible.items() <= corpus.files.items(), "a file was visible before it was whole"
        if ended:
            assert child.returncode == 0 and found(folder) == corpus.files
            folders += 1
            folder = tmp_path / str(folders)
        else:
            kills += 1
            at_kill.append(len(archives_in_place(folder)))
            resumed += sum(request.start is not None for request in requests)
    print(f"{kills} kills, with so many of 18 archives in place: {at_kill}; {resumed} downloads resumed")
    server.delay = 0.0
    fetch(folder, FetchConfig(server.url), manifest=corpus.manifest)
    assert found(folder) == corpus.files
    assert resumed


def test_half_extracted_archive_is_extracted_again(
    corpus: Corpus, server: MisbehavingServer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    replace, target_of_death = os.replace, "park-oslo-1-5-a.wav"

    def die(source: object, target: object) -> None:
        if Path(str(target)).name == target_of_death:
            raise OSError(5, "Input/output error", str(target))
        replace(str(source), str(target))

    monkeypatch.setattr(os, "replace", die)
    with pytest.raises(UserError):
        fetch(tmp_path, FetchConfig(server.url), manifest=corpus.manifest)
    assert AUDIO_1 not in archives_in_place(tmp_path)
    monkeypatch.setattr(os, "replace", replace)
    fetch(tmp_path, FetchConfig(server.url), manifest=corpus.manifest)
    assert found(tmp_path) == corpus.files
    assert server.counts[AUDIO_1] == 1


def test_ctrl_c_ends_promptly_and_can_be_resumed(corpus: Corpus, server: MisbehavingServer, tmp_path: Path) -> None:
    server.plan = first(1, "hang", AUDIO_1)
    child = start_fetch(server, tmp_path, corpus)
    deadline = time.monotonic() + 10
    while len(archives_in_place(tmp_path)) < 17 and time.monotonic() < deadline:
        time.sleep(0.02)
    child.send_signal(signal.SIGINT)
    interrupted = time.monotonic()
    child.communicate(timeout=10)
    assert time.monotonic() - interrupted < 3
    assert child.returncode == -signal.SIGINT
    left = {path.name for path in (tmp_path / tau.WORK).iterdir()}
    assert left == {"lock", f"{AUDIO_1}.part"}, "an archive stayed after its files were in place"
    fetch(tmp_path, FetchConfig(server.url), manifest=corpus.manifest)
    assert found(tmp_path) == corpus.files
    assert server.starts(AUDIO_1) == [None, len(corpus.archives[AUDIO_1]) // 2]


# --- archives that mean harm


def crafted(name: str, content: bytes = b"content", **attributes: int) -> bytes:
    """An archive of one good member and one with the given name and ZipInfo attributes."""
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as archive, warnings.catch_warnings():
        warnings.simplefilter("ignore")  # zipfile's own, about duplicates
        archive.writestr(f"{TOP}/audio/good.wav", b"good")
        member = zipfile.ZipInfo("placeholder")
        member.filename = name
        for key, value in attributes.items():
            setattr(member, key, value)
        archive.writestr(member, content)
    return buffer.getvalue()


def lying(field: int, value: int) -> bytes:
    """An archive whose table of contents has another number at `field` of its last entry."""
    content = bytearray(crafted(f"{TOP}/audio/x.wav"))
    entry = content.rindex(b"PK\x01\x02")
    content[entry + field : entry + field + 4] = value.to_bytes(4, "little")
    return bytes(content)


HARMFUL = {
    "parent": crafted(f"{TOP}/../../escaped.wav"),
    "parent outside the top folder": crafted("../escaped.wav"),
    "absolute": crafted("/escaped.wav"),
    "drive letter": crafted("C:/escaped.wav"),
    "drive letter below the top folder": crafted(f"{TOP}/audio/C:escaped.wav"),
    "backslashes": crafted(f"{TOP}\\..\\..\\escaped.wav"),
    "symbolic link": crafted(f"{TOP}/audio/link", b"/etc", create_system=3, external_attr=(stat.S_IFLNK | 0o777) << 16),
    "duplicate": crafted(f"{TOP}/audio/good.wav"),
    "duplicate but for case": crafted(f"{TOP}/audio/GOOD.wav"),
    "duplicate of another archive's": crafted(f"{TOP}/meta.csv"),
    "bomb": crafted(f"{TOP}/audio/x.wav", bytes(20_000_000), compress_type=zipfile.ZIP_DEFLATED),
    "unknown compression": crafted(f"{TOP}/audio/x.wav", compress_type=zipfile.ZIP_LZMA),
    "understated size": lying(24, 3),
    "overstated size": lying(24, 9),
    "wrong CRC": lying(16, 123),
    "wrong offset": lying(42, 7),
}


@pytest.mark.parametrize("harm", HARMFUL)
def test_harmful_members_are_refused(tmp_path: Path, harm: str) -> None:
    archives = {META: zipped({"meta.csv": b"the real one"}), AUDIO_1: HARMFUL[harm]}
    own = tmp_path / "own"
    own.mkdir()
    for name, content in archives.items():
        (own / name).write_bytes(content)
    manifest = write_manifest(tmp_path / "manifest.json", archives)
    folder = tmp_path / "data" / "tau"
    with pytest.raises(UserError) as error:
        fetch(folder, FetchConfig(archives=str(own), connections=1), manifest=manifest)
    with zipfile.ZipFile(own / AUDIO_1) as archive:
        names = [repr(member.orig_filename) for member in archive.infolist()]
    # Which of two members in the same place is found out depends on the version of Python.
    named = names if harm == "wrong offset" else names[-1:]
    assert_one_line(error, AUDIO_1)
    assert any(name in str(error.value) for name in named)
    assert not list(tmp_path.rglob("*escaped*")) and not Path("/escaped.wav").exists()
    assert {path for path in found(folder) if not path.startswith(".")} <= {"meta.csv", "audio/good.wav"}
    assert (folder / "meta.csv").read_bytes() == b"the real one"
    assert not (folder / tau.WORK / "member").exists()
    assert archives_in_place(folder) == {META}


@pytest.mark.parametrize("link", ["audio", "evaluation_setup", ".fetch", "archives"])
@pytest.mark.parametrize("dangling", [False, True])
def test_nothing_is_written_through_a_link_to_a_folder(
    corpus: Corpus, server: MisbehavingServer, tmp_path: Path, link: str, dangling: bool
) -> None:
    folder, elsewhere = tmp_path / "tau", tmp_path / "elsewhere"
    folder.mkdir()
    (folder / link).symlink_to(elsewhere)
    if not dangling:
        elsewhere.mkdir()
    with pytest.raises(UserError) as error:
        fetch(folder, FetchConfig(server.url, keep_archives=True, connections=1), manifest=corpus.manifest)
    assert_one_line(error, str(folder / link), "is a link")
    assert not elsewhere.exists() if dangling else not list(elsewhere.iterdir())
    (folder / link).unlink()
    fetch(folder, FetchConfig(server.url), manifest=corpus.manifest)
    assert {path for path in corpus.files if (folder / path).read_bytes() == corpus.files[path]} == set(corpus.files)
    assert server.counts[META if link == "evaluation_setup" else AUDIO_1] == 1, "an archive was fetched again"


@pytest.mark.parametrize("link", ["audio/park-oslo-1-0-a.wav", "meta.csv", ".fetch.json"])
def test_links_in_place_of_files_are_replaced(
    corpus: Corpus, server: MisbehavingServer, tmp_path: Path, link: str
) -> None:
    mine = tmp_path / "mine"
    mine.write_text("{}")
    (tmp_path / "tau" / link).parent.mkdir(parents=True)
    (tmp_path / "tau" / link).symlink_to(mine)
    fetch(tmp_path / "tau", FetchConfig(server.url), manifest=corpus.manifest)
    assert mine.read_text() == "{}" and not (tmp_path / "tau" / link).is_symlink()
    assert found(tmp_path / "tau") == corpus.files


@pytest.mark.parametrize("link", ["lock", "member", f"{AUDIO_1}.part", AUDIO_1])
def test_links_among_what_is_on_its_way_are_refused(
    corpus: Corpus, server: MisbehavingServer, tmp_path: Path, link: str
) -> None:
    mine, work = tmp_path / "mine", tmp_path / "tau" / tau.WORK
    mine.write_text("years of work")
    work.mkdir(parents=True)
    (work / link).symlink_to(mine)
    with pytest.raises(UserError) as error:
        fetch(tmp_path / "tau", FetchConfig(server.url), manifest=corpus.manifest)
    assert_one_line(error, str(work / link), "is a link")
    assert mine.read_text() == "years of work"


@pytest.mark.parametrize("content", [b"", b"no zip", zipped({"a": b""}, top="elsewhere/"), zipped({"a": b""})[:-9]])
def test_what_is_no_archive_of_the_corpus(tmp_path: Path, content: bytes) -> None:
    manifest = write_manifest(tmp_path / "manifest.json", {AUDIO_1: content})
    with MisbehavingServer({AUDIO_1: content}) as server, pytest.raises(UserError) as error:
        fetch(tmp_path / "tau", FetchConfig(server.url), manifest=manifest)
    assert_one_line(error, AUDIO_1)
    assert not (tmp_path / "tau" / tau.WORK / AUDIO_1).exists(), "a bad archive was kept"


def test_what_macos_adds_is_left_out(tmp_path: Path) -> None:
    names = [f"{TOP}/audio/x.wav", f"{TOP}/.fetch.json", f"{TOP}/audio/.DS_Store", f"__MACOSX/{TOP}/audio/._x.wav"]
    (tmp_path / "own").mkdir()
    (tmp_path / "own" / AUDIO_1).write_bytes(zipped(dict.fromkeys(names, b"content"), top=""))
    manifest = write_manifest(tmp_path / "manifest.json", {AUDIO_1: (tmp_path / "own" / AUDIO_1).read_bytes()})
    fetch(tmp_path / "tau", FetchConfig(archives=str(tmp_path / "own")), manifest=manifest)
    assert found(tmp_path / "tau") == {"audio/x.wav": b"content"}
