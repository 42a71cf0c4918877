"""Prefect flows: when the stages of the pipeline run, never how. DVC decides what is stale; nothing here caches."""
