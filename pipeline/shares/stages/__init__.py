"""The stages of the table, a file each, named as in the dvc.yaml beside this folder."""

from pipeline.runtime.threads import settle

settle()  # here, because a stage's own imports load torch
