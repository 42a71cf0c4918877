"""Recordings as clips of another length than their files: cut, or put together from the parts that files are."""

from typing import Any, cast

import pandas as pd


def recut(clips: pd.DataFrame, seconds: float) -> pd.DataFrame:
    """The clips that begin every `seconds` in each recording of a table of files, in the order of the table.

    A recording is one file (named audio/scene-city-location-segment-device.wav), or those that differ in the part
    before the device, one after the other. What is left at its end is no clip, unless it is all there is.

    Returns:
        The columns of a recording's first file, with the clip's own name and length, and `files`: those of the
        recording, whose clips are in rows one after the other. Names have a part where a recording has several clips.
    """
    names = [name.rpartition(".") for name in clips["filename"]]
    fields = [stem.split("-") for stem, _, _ in names]
    table = clips.assign(
        _key=pd.Series([("-".join(each[:4]), each[-1]) for each in fields], index=clips.index),
        _part=[int(each[4]) if len(each) > 5 and each[4].isdecimal() else 0 for each in fields],
        _suffix=[suffix for _, _, suffix in names],
    )
    rows = []
    for key, files in table.groupby(["split", "_key"], sort=False):
        _, (stem, device) = cast(tuple[str, tuple[str, str]], key)
        files = files.sort_values("_part", kind="stable")
        first: dict[Any, Any] = files.iloc[0].to_dict()
        total = float(files["seconds"].sum())
        count = max(1, int(total / seconds + 1e-6))
        for part in range(count):
            name = f"{stem}-{part}-{device}" if count > 1 else f"{stem}-{device}"
            own = {"filename": f"{name}.{first['_suffix']}", "seconds": min(seconds, total)}
            rows.append({**first, **own, "files": files["filename"].tolist()})
    return pd.DataFrame(rows, columns=[*clips.columns, "files"])
