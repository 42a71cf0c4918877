"""Stage features of the table: the corpus with its whole training split, validated and extracted, and its shares."""

from itertools import pairwise

import pandas as pd

from asc_core import UserError
from asc_core.corpus.layout import read_table
from asc_core.corpus.shares import SHARES, shares
from asc_core.files import replacing
from pipeline.params import SHARE, Data, Params
from pipeline.paths import corpus_root
from pipeline.runtime.journal import Journal
from pipeline.runtime.stage import run
from pipeline.shares import paths
from pipeline.stages.extract_features import extracted
from pipeline.stages.validate import validated


def features(params: Params, journal: Journal) -> None:
    """Write the feature store, and for each share the clips that are trained on.

    The shares are those that the corpus has lists of, if `data.lists.train` is the pattern of their names; else they
    are made, of whole recordings.
    """
    data = whole(params.data)
    if params.features.clip_seconds is not None:
        raise UserError("features.clip_seconds: shares are of files; set it to null")
    journal.tags({"table": "shares", "row": "features"})
    clips = validated(corpus_root(), data, paths.VALIDATION, paths.DATA_DOCS, journal)
    for share, listed in lists(params.data).items():
        kept = listed["filename"].isin(clips.loc[clips["split"] == "train", "filename"])
        with replacing(paths.clips(share)) as temporary:
            listed[kept].to_csv(temporary, sep="\t", index=False)
    extracted(corpus_root(), clips, params.features, paths.FEATURES, paths.FILES.work, journal)


def whole(data: Data) -> Data:
    """The same corpus with all of its training split; how many clips a share has says nothing of all."""
    if data.share is None:
        return data
    expect = data.expect.model_copy(update={"releases": None, "counts": None})
    return data.model_copy(update={"share": SHARES[-1], "expect": expect})


def lists(data: Data) -> dict[int, pd.DataFrame]:
    """The training clips (filename, scene_label) of each share.

    Raises:
        UserError: a list is missing or malformed, or a smaller share is not within a larger one.
    """
    root, columns = corpus_root(), ["filename", "scene_label"]
    if data.share is None:
        return shares(read_table(root / data.lists.train, columns))
    paths_of = {share: root / data.lists.train.replace(SHARE, str(share)) for share in SHARES}
    found = {share: read_table(path, columns) for share, path in paths_of.items()}
    for smaller, larger in pairwise(SHARES):
        if odd := sorted({*found[smaller]["filename"]} - {*found[larger]["filename"]}):
            raise UserError(f"{paths_of[smaller]}: {odd[0]} is not in {paths_of[larger].name}; shares are nested")
    return found


if __name__ == "__main__":
    run(features, experiment=paths.FILES.experiment)
