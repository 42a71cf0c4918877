"""The classes of LiteRT's format, which come with the extra edge: imported when the first of them is used."""

from typing import Any


def __getattr__(name: str) -> Any:
    from ai_edge_litert import schema_py_generated

    return getattr(schema_py_generated, name)
