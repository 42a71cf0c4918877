"""The stages, a file each, named as in dvc.yaml.

What several of them need stands in the library or in a room of its own.
"""
