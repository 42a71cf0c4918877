"""The tables and the figure of the publications, rebuilt on whatever corpus is configured."""
