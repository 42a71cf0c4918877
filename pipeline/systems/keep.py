"""What a training of a table leaves of a system."""

from typing import Any

import pandas as pd

from asc_core.files import replacing, write_json
from pipeline.paths import TableFiles


def keep(
    files: TableFiles, run: tuple[str, int, *tuple[object, ...]], predictions: pd.DataFrame, measured: dict[str, Any]
) -> None:
    """Write the predictions on the test split, and what was measured: by network where there are several.

    Args:
        run: system, seed and, where the table has parts, part.
    """
    with replacing(files.predictions(*run)) as temporary:
        predictions.to_parquet(temporary, index=False)
    write_json(files.measured(*run), measured)
