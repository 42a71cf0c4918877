"""What the pipelines of the tables share: a system trained and measured, one of others from scratch or ours."""
