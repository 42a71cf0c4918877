"""The expectations about a corpus, in one piece. Each carries, in plain words, what it is for."""

from typing import Any

from asc_core.corpus.layout import LISTED, NAME_GRAMMAR
from asc_core.corpus.validation_split import HeldBack
from pipeline.params import Expect

DURATION_TOLERANCE = 0.01  # seconds; a third of a frame of the published features

# What the later stages read, and of which type it is.
COLUMNS = {
    "filename": "str",
    "scene": "str",
    "split": "str",
    "location": "str",
    "device": "str",
    "city": "str",
    "seconds": "float64",
    "sample_rate": "int64",
    "channels": "int64",
    "subtype": "str",
}


def suite(expect: Expect, held: HeldBack | None = None) -> dict[str, list[Any]]:
    """The expectations, by table: of the corpus as it is listed, and of its splits once what is `held` back is."""
    import great_expectations.expectations as gxe
    from great_expectations.expectations.row_conditions import Column

    clips: list[Any] = [
        *(
            gxe.ExpectColumnValuesToBeOfType(column=column, type_=kind, notes=f"the column {column} is of type {kind}")
            for column, kind in COLUMNS.items()
        ),
        gxe.ExpectColumnValuesToBeUnique(column="filename", notes="every file is listed once, in one split"),
        gxe.ExpectColumnValuesToMatchRegex(
            column="filename",
            regex=NAME_GRAMMAR,
            notes="files are named audio/scene-city-location-segment-device.wav, or -segment-part-device.wav",
        ),
        gxe.ExpectColumnValuesToBeNull(column="problem", notes="every listed audio file is there and whole"),
        gxe.ExpectColumnValuesToBeNull(column="defect", notes="every listed audio file has sound in it"),
        gxe.ExpectColumnValuesToNotBeNull(column="device", notes="every listed file has a row in meta.csv"),
        gxe.ExpectColumnValuesToNotBeNull(column="location", notes="every clip has a location"),
        gxe.ExpectColumnValuesToNotBeNull(column="scene", notes="every clip has a scene"),
        gxe.ExpectColumnPairValuesToBeEqual(
            column_A="scene",
            column_B="meta_scene",
            ignore_row_if="either_value_is_missing",
            notes="the split lists and meta.csv agree on the scene",
        ),
        *(
            gxe.ExpectColumnPairValuesToBeEqual(
                column_A=column,
                column_B=f"name_{column}",
                ignore_row_if="either_value_is_missing",
                notes=f"the file name and the tables agree on the {column}",
            )
            for column in ("scene", "location", "device")
        ),
    ]
    meta = [gxe.ExpectColumnValuesToBeUnique(column="filename", notes="meta.csv describes every file once")]
    disjoint = {
        table: [
            gxe.ExpectColumnValuesToBeInSet(
                column="splits", value_set=[1], notes=f"no {table.removesuffix('s')} is in two splits"
            )
        ]
        for table in ("files", "segments", "locations")
    }
    scenes: list[Any] = [
        gxe.ExpectColumnValuesToBeBetween(column="train", min_value=1, notes="every scene has clips to train on")
    ]
    devices: list[Any] = []
    if held:
        note = "every scene of two training locations or more has clips to validate on"
        more = Column("locations") > 1
        scenes.append(
            gxe.ExpectColumnValuesToBeBetween(column="validation", min_value=1, row_condition=more, notes=note)
        )
    if held and held.devices:
        devices += [
            gxe.ExpectColumnValuesToNotBeInSet(
                column="device", value_set=held.devices, row_condition=condition, notes=f"devices held back {note}"
            )
            for condition, note in (
                (Column("train") > 0, "are not in the training split"),
                (Column("validation") == 0, "have clips to validate on"),
            )
        ]
    cities: list[Any] = []
    sizes: list[Any] = []
    if expect.scenes is not None:
        note = "every scene is one of data.expect.scenes"
        clips.append(gxe.ExpectColumnValuesToBeInSet(column="scene", value_set=expect.scenes, notes=note))
    if expect.devices is not None:
        note = "every device is one of data.expect.devices"
        clips.append(gxe.ExpectColumnValuesToBeInSet(column="device", value_set=expect.devices, notes=note))
        note = "every device of data.expect.devices has clips"
        devices.append(gxe.ExpectColumnValuesToBeBetween(column="clips", min_value=1, notes=note))
    if expect.unseen_devices is not None:
        devices += [
            gxe.ExpectColumnValuesToNotBeInSet(
                column="device",
                value_set=expect.unseen_devices,
                row_condition=Column("listed_train") > 0,
                notes="devices that must stay unseen are not in the training split",
            ),
            gxe.ExpectColumnValuesToBeInSet(
                column="device",
                value_set=expect.unseen_devices,
                row_condition=Column("listed_train") == 0,
                notes="all other devices are in the training split",
            ),
        ]
    if expect.audio is not None:
        for column, value in expect.audio.model_dump(exclude_none=True).items():
            note = f"every file has data.expect.audio.{column}: {value}"
            clips.append(
                gxe.ExpectColumnValuesToBeBetween(
                    column=column,
                    min_value=value - DURATION_TOLERANCE,
                    max_value=value + DURATION_TOLERANCE,
                    notes=note,
                )
                if column == "seconds"
                else gxe.ExpectColumnValuesToBeInSet(column=column, value_set=[value], notes=note)
            )
    if expect.releases is not None:
        sizes.append(
            gxe.ExpectColumnPairValuesToBeInSet(
                column_A="train",
                column_B="test",
                value_pairs_set=[(release.train, release.test) for release in expect.releases.values()],
                notes=f"the splits have the sizes of data.expect.releases: {' or '.join(expect.releases)}",
            )
        )
    if expect.counts is not None:
        for kind, table in (("scene", scenes), ("device", devices), ("city", cities)):
            for split in LISTED:
                bounds = getattr(getattr(expect.counts, split), kind)
                if bounds is None:
                    continue
                least, most = bounds
                table.append(
                    gxe.ExpectColumnValuesToBeBetween(
                        column=f"listed_{split}",
                        min_value=least,
                        max_value=most,
                        # A device or city that a split does not have is no matter of its count.
                        row_condition=Column(f"listed_{split}") > 0,
                        notes=f"clips are within data.expect.counts.{split}.{kind}: "
                        + (f"{least} to {most}" if most else f"at least {least}"),
                    )
                )
    return {
        "clips": clips, "meta": meta, **disjoint, "scenes": scenes, "devices": devices, "cities": cities, "sizes": sizes
    }  # fmt: skip
