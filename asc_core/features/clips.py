"""What the table of a corpus' clips says of its splits and devices."""

import pandas as pd

SPLITS = ("train", "validation", "test")  # a clip is in one of them; a corpus may do without validation


def unseen_devices(clips: pd.DataFrame) -> list[str]:
    """The devices that are not in the training split, sorted; those held back from it for validation are among them."""
    return sorted({*clips["device"].dropna()} - {*clips.loc[clips["split"] == "train", "device"]})
