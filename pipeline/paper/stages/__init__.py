"""The stages of the tables, a file each, named as in the dvc.yaml beside this folder."""
