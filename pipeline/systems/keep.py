"""What a training of a table leaves of a system."""

from typing import Any

import pandas as pd

from asc_core.files import replacing, write_json
from pipeline.paths import SystemFiles


def keep(files: SystemFiles, run: tuple[str, int, object], predictions: pd.DataFrame, measured: dict[str, Any]) -> None:
    """Write the predictions on the test split, and by network what was measured.

    Args:
        run: system, seed and part of the table.
    """
    with replacing(files.predictions(*run)) as temporary:
        predictions.to_parquet(temporary, index=False)
    write_json(files.measured(*run), measured)
