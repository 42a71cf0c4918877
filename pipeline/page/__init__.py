"""The report that people open, `reports/index.html`: one file without a network. Not what programs or Markdown read."""
