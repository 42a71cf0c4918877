"""Where the tables and what they are made of are."""

from pipeline.paths import TableFiles

FILES = TableFiles("paper")
