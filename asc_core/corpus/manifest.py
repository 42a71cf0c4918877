"""What there is to fetch of a corpus: its archives and tables, each with a checksum and where it is."""

import hashlib
from dataclasses import dataclass, field
from pathlib import Path

from asc_core.errors import UserError
from asc_core.files import read_json

MANIFESTS = {year: Path(__file__).with_name(f"{year}_archives.json") for year in ("tau2020", "tau2022")}


@dataclass(frozen=True)
class Download:
    """One file of a record.

    Attributes:
        filename: its name there.
        md5: its checksum, and for a table several where it is served in several forms.
        bytes: its size; None where only the server knows.
        base_url: what its name is appended to, with `query` behind it.
        folder: where a table goes, as it is; None for an archive, which is extracted.
    """

    filename: str
    md5: str | list[str]
    bytes: int | None
    base_url: str = ""
    query: str = ""
    folder: str | None = None

    @property
    def path(self) -> str:
        """Where in the corpus a table goes."""
        return f"{self.folder}/{self.filename}"

    def is_right(self, found: str, path: Path) -> bool:
        """Whether a file with the MD5 `found` is this one. A table may have the line ends of any system."""
        stated = [self.md5] if isinstance(self.md5, str) else self.md5
        if found in stated or self.folder is None:
            return found in stated
        text = path.read_bytes().replace(b"\r\n", b"\n")
        forms = (text, text.replace(b"\n", b"\r\n"))
        return any(hashlib.md5(form, usedforsecurity=False).hexdigest() in stated for form in forms)


@dataclass(frozen=True)
class Manifest:
    """What a corpus consists of.

    Attributes:
        top: the folder that all members of its archives are in.
        downloads: archives first.
        copies: tables that are another one under a second name, which needs no fetch: {path: path of the other}.
    """

    top: str
    downloads: list[Download]
    copies: dict[str, str] = field(default_factory=dict)

    @property
    def archives(self) -> list[Download]:
        """What is extracted."""
        return [each for each in self.downloads if each.folder is None]


def read_manifest(path: Path) -> Manifest:
    """The manifest in a file: folder, base_url, archives, and perhaps tables with base_url, folder, files and copies.

    Raises:
        UserError: it is missing or not one.
    """
    content = read_json(path)
    try:
        source = content.get("base_url", "")
        downloads = [Download(**entry, base_url=source, query="?download=1") for entry in content["archives"]]
        tables = content.get("tables")
        if tables is None:
            return Manifest(content["folder"], downloads)
        folder = tables["folder"]
        downloads += [Download(**entry, base_url=tables["base_url"], folder=folder) for entry in tables["files"]]
        copies = {f"{folder}/{name}": original for name, original in tables["copies"].items()}
        return Manifest(content["folder"], downloads, copies)
    except (AttributeError, KeyError, TypeError) as error:
        raise UserError(f"{path}: not a manifest of archives ({error})") from None
