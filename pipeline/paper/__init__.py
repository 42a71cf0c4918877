"""The tables and the figure of the publications, a pipeline of its own."""
