"""What the table of a corpus' clips says of its devices."""

import pandas as pd


def unseen_devices(clips: pd.DataFrame) -> list[str]:
    """The devices of the test split that the training split does not have, sorted."""
    devices = {split: set(rows["device"].dropna()) for split, rows in clips.groupby("split")}
    return sorted(devices.get("test", set()) - devices.get("train", set()))
