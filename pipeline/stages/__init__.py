"""The stages, a file each, named as in dvc.yaml.

What several of them need stands in the library or in a room of its own.
"""

from pipeline.runtime.threads import settle

settle()  # here, because a stage's own imports load torch
