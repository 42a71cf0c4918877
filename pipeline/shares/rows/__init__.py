"""What the rows of the table are, and what the baselines have published."""
