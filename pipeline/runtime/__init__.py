"""What runs a stage: its process, those beside it, its journal.

Nothing here changes a result, so no stage in dvc.yaml depends on it.
"""
