"""Stage download: make sure that the configured corpus is on this machine, and say where.

The audio itself is no output of DVC: 27 GB are not copied into a cache. Its output is a pointer, `data/corpus.json`,
with the folder and a fingerprint of names, sizes and times, which changes when the corpus does.
"""

from pathlib import Path

from asc_core import UserError
from asc_core.corpus import synthetic, tau
from asc_core.corpus.layout import read_corpus
from asc_core.corpus.manifest import MANIFESTS
from asc_core.files import absence, digest, write_json
from pipeline.params import Params
from pipeline.paths import CORPUS, workspace
from pipeline.runtime.journal import Journal
from pipeline.runtime.stage import run


def download(params: Params, journal: Journal) -> None:
    """Render, fetch or find the corpus."""
    if params.data.source == "synthetic":
        root = folder = Path("data/synthetic")
        synthetic.render(folder, params.synthetic)
    elif params.data.source in MANIFESTS:
        given, lists = Path(params.data.path), params.data.split_lists
        root = given if given.is_dir() else Path("data") / params.data.source
        folder = workspace() / root  # not fetched once more into a copy of the project
        # A folder that already holds the extracted corpus is used as it is; one in which a fetch was cut off is not.
        tables = [folder / name for name in ("meta.csv", lists.train, lists.test)]
        if not all(path.is_file() for path in tables) or (folder / tau.WORK).exists():
            tau.fetch(folder, params.fetch, manifest=MANIFESTS[params.data.source])
    else:
        root = folder = Path(params.data.path)
    clips = read_corpus(folder, params.data.split_lists)
    stats = {name: (folder / name).stat() for name in clips["filename"] if (folder / name).is_file()}
    if not stats:
        why = absence(folder / clips["filename"][0])
        why = "is it the right folder?" if why == "no such file" else f"{clips['filename'][0]}: {why}"
        raise UserError(f"{root}: none of the {len(clips)} files of the split lists is there; {why}")
    # Rendered files differ in nothing but their time when they are rendered again.
    timed = params.data.source != "synthetic"
    fingerprint = digest(
        sorted((name, stat.st_size, stat.st_mtime_ns if timed else 0) for name, stat in stats.items()),
        clips.astype(str).to_dict("records"),
    )
    write_json(CORPUS, {"root": str(root), "clips": len(clips), "fingerprint": fingerprint})
    journal.metrics({"clips": len(clips), "gigabytes": sum(stat.st_size for stat in stats.values()) / 1e9})


if __name__ == "__main__":
    run(download)
