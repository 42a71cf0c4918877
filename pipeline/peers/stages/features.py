"""Stage features of the table: the corpus of one fold validated, and its features extracted."""

from pathlib import Path

from asc_core import UserError
from asc_core.config import shown
from asc_core.corpus.layout import Lists, read_corpus
from pipeline.params import Params
from pipeline.paths import CORPUS, corpus_root, made
from pipeline.peers import paths, settings
from pipeline.runtime.journal import Journal
from pipeline.runtime.stage import run
from pipeline.stages.extract_features import extracted
from pipeline.stages.validate import validated


def features(params: Params, journal: Journal, fold: str) -> None:
    """Write the feature store of a fold."""
    peers = settings.load()
    if fold not in peers.corpora:
        raise UserError(f"peers.corpora: no fold {fold!r}, there are {', '.join(peers.corpora)}")
    roots = {name: folder(path) for name, path in peers.corpora.items()}
    check_folds(roots, params.data.split_lists)
    journal.tags({"table": "peers", "row": "features", "fold": fold})
    clips = validated(roots[fold], params.data, paths.validation(fold), paths.data_docs(fold), journal)
    extracted(roots[fold], clips, params.features, paths.features(fold), paths.FILES.work / fold, journal)


def folder(path: str) -> Path:
    """Where the corpus of a fold is: the path itself, or where a pointer to a corpus points."""
    return corpus_root() if made(Path(path)) == CORPUS else Path(path)


def check_folds(roots: dict[str, Path], lists: Lists) -> None:
    """Hold the folds to what pooling them needs: the same scenes, and every location in one test split at most.

    Raises:
        UserError: they are not so; the text names the first location or scene.
    """
    tested: dict[str, str] = {}
    scenes: dict[str, set[str]] = {}
    for fold, root in roots.items():
        clips = read_corpus(root, lists)
        scenes[fold] = {*clips["scene"].dropna()}
        for location in sorted({*clips.loc[clips["split"] == "test", "location"].dropna()}):
            if location in tested:
                raise UserError(
                    f"peers.corpora: location {location} is in the test splits of both {tested[location]} and {fold}; "
                    "folds that are pooled test each location once"
                )
            tested[location] = fold
        first = next(iter(scenes))
        if odd := sorted(scenes[fold] ^ scenes[first]):
            raise UserError(
                f"peers.corpora: not both {first} and {fold} have the scene {shown(odd[0])}, as pooling needs"
            )


if __name__ == "__main__":
    run(features, experiment=paths.FILES.experiment)
