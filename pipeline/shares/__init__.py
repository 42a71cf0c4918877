"""Accuracy by the share of the training data, of ours and of systems of others: a pipeline of its own."""
