"""Passwords in addresses, and what only looks like one."""

import pytest

from asc_core.addresses import public, without_credentials


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("http://user:secret@host:5000/path", "http://host:5000/path"),
        ("https://token@host", "https://host"),
        ("http://user:se@cret@host", "http://host"),
        ("postgresql+psycopg2://user:se/c#r?t@host/db", "postgresql+psycopg2://host/db"),
        ("ssh://me:secret@host/store", "ssh://host/store"),
        (
            "postgresql://host/db?user=me&password=secret&sslmode=on",
            "postgresql://host/db?user=me&password=***&sslmode=on",
        ),
        ("s3://bucket?AWS_SECRET_ACCESS_KEY=secret", "s3://bucket?AWS_SECRET_ACCESS_KEY=***"),
        ("http:/user:secret@host", "http:/host"),
        (
            "API request to http://u:secret@h:1/api failed with (host='h', port=1): http://u:secret@h:1/api",
            "API request to http://h:1/api failed with (host='h', port=1): http://h:1/api",
        ),
        ('{"a": "http://u:secret@h", "b": "me@x"}', '{"a": "http://h", "b": "me@x"}'),
    ],
)
def test_who_reads_an_address_learns_no_password(text, shown):
    assert without_credentials(text) == shown


@pytest.mark.parametrize(
    "text",
    [
        "http://127.0.0.1:5000/a@b",
        "sqlite:////home/me@work/mlflow.db",
        "sqlite:///me@work.db",
        "file:///home/me@work/mlruns",
        "Running stage 'pipeline/paper/dvc.yaml:train@resnet-0':",
        "git@github.com:owner/name.git",
        "http://[::1]:5000/",
        "write to me@example.org",
    ],
)
def test_what_is_no_password_stays(text):
    assert without_credentials(text) == text


@pytest.mark.parametrize(
    ("url", "shown"),
    [
        ("https://mirror.org:8080/a@b/files", "https://mirror.org:8080/a@b/files"),
        ("https://mirror.org/files?at=a@b", "https://mirror.org/files?at=a@b"),
        ("http://[::1]:80/files", "http://[::1]:80/files"),
        ("no-scheme/files", "no-scheme/files"),
        ("http://me:s3cret@mirror.org/files", "http://mirror.org/files"),
        ("http://me@mirror.org", "http://mirror.org"),
        ("http://me:s3@cret@mirror.org/files", "http://mirror.org/files"),
        ("http://me:s3/cr@et@mirror.org/files", "http://mirror.org/files"),
        ("http://me:s3#cret@mirror.org/files", "http://mirror.org/files"),
        ("me:s3cret@mirror.org/files", "mirror.org/files"),
        ("s3://me:s3cret@bucket", "s3://bucket"),
    ],
)
def test_an_address_alone_is_shown_without_its_user(url, shown):
    assert public(url) == shown
