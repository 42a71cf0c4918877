"""How sure metrics are, and whether systems differ: intervals and comparisons, from tables of predictions.

Apart from `asc_core.evaluation`, which tells what one network reaches, so that a change here trains nothing anew.
"""
