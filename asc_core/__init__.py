"""Low-complexity acoustic scene classification: corpora, features, networks, training, compression, evaluation.

A plain library: it knows sound and networks, and nothing of the tools that run it as a pipeline.
"""

from asc_core.errors import UserError

__all__ = ["UserError"]
