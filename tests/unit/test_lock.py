"""What others make is pinned: packages by the hashes of every file of each release, actions by commit."""

import re
import tomllib
from pathlib import Path

from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

ROOT = Path(__file__).parents[2]


def test_every_package_is_pinned_by_version_and_hash():
    packages = re.split(r"\n(?! )", (ROOT / "requirements.lock").read_text().rstrip())
    for package in packages:
        assert re.fullmatch(r"[a-z0-9-]+==\S+( \\\n    --hash=sha256:[0-9a-f]{64})+", package), package


def test_the_lock_is_what_the_project_asks_for():
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    locked = dict(re.findall(r"^(\S+)==(\S+)", (ROOT / "requirements.lock").read_text(), re.MULTILINE))
    for requirement in map(Requirement, [*project["dependencies"], *project["optional-dependencies"]["dev"]]):
        name = canonicalize_name(requirement.name)
        if name == "torch":  # by the plain pin alone: its builds differ by machine
            assert re.fullmatch(r"==[\d.]+", str(requirement.specifier)) and name not in locked
        else:
            assert requirement.specifier.contains(locked[name]), requirement


def test_actions_of_the_workflow_are_pinned_by_commit():
    used = re.findall(r"uses: (.*)", (ROOT / ".github/workflows/ci.yaml").read_text())
    assert used and all(re.fullmatch(r"\S+@[0-9a-f]{40}  # v[\d.]+", action) for action in used)
