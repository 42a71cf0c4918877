"""Which clips several tables of predictions are of, and that they are the same ones."""

from collections.abc import Mapping

import numpy as np
import pandas as pd

from asc_core.errors import UserError
from asc_core.evaluation.predictions import CLIP, scenes_of

FACTS = {"scene": "of the scene", "device": "of the device", "unseen": "of an unseen device:"}  # alike in all tables


def clips_of(tables: Mapping[str, pd.DataFrame]) -> tuple[pd.DataFrame, np.ndarray]:
    """The clips of several tables, a row each, and which of them each table has.

    Tables of the same clips (of several seeds, say) are of one set; sets (of several corpora or folds) have no clip in
    common. Location and file name together tell clips apart; a location of the same name is the same one everywhere.

    Args:
        tables: by what errors call them.

    Returns:
        clips: `CLIP` and `FACTS`, a row a clip.
        sets: (tables,) whole numbers from 0.

    Raises:
        UserError: two tables have some clips in common and others not, differ in their scenes, or in what they say of a
            clip.
    """
    firsts: dict[str, pd.DataFrame] = {}  # the clips of the first table of each set
    sets = []
    for name, table in tables.items():
        clips = table[[*CLIP, *FACTS]]
        for number, (first, known) in enumerate(firsts.items()):
            check_scenes(first, tables[first], name, table)
            if len(known.merge(clips, on=CLIP)):
                check_same(first, known, name, clips)
                sets.append(number)
                break
        else:
            sets.append(len(firsts))
            firsts[name] = clips
    return pd.concat(firsts.values(), ignore_index=True), np.array(sets)


def check_same(name: str, clips: pd.DataFrame, other_name: str, other: pd.DataFrame) -> None:
    """Hold clips, as `clips_of` returns them, to others.

    Raises:
        UserError: one has a clip that the other has not, or they say different things of one.
    """
    both = clips.merge(other, on=CLIP, how="outer", suffixes=("", " there"), indicator=True)
    lone = both[both["_merge"] != "both"]
    if len(lone):
        clip, side = lone.iloc[0]["filename"], lone.iloc[0]["_merge"]
        there, lacking = (name, other_name) if side == "left_only" else (other_name, name)
        raise UserError(f"{lacking}: has no clip {clip}, which is in {there}; what is compared must be the same clips")
    for fact, told in FACTS.items():
        odd = both[both[fact] != both[f"{fact} there"]]
        if len(odd):
            row = odd.iloc[0]
            said = f"{told} {row[fact]} in {name} and {told} {row[f'{fact} there']} in {other_name}"
            raise UserError(f"{row['filename']}: is {said}; what is compared must be the same clips")


def check_scenes(name: str, table: pd.DataFrame, other_name: str, other: pd.DataFrame) -> None:
    """Raises: UserError: of two tables, one has probabilities of a scene that the other has not."""
    lone = scenes_of(table).symmetric_difference(scenes_of(other))
    if len(lone):
        there, lacking = (name, other_name) if lone[0] in table.columns else (other_name, name)
        raise UserError(f"{lacking}: has no scene {lone[0]!r}, which is in {there}; compare what answers with the same")
