"""The systems that others have published for the same size, trained and measured beside ours: a pipeline of its own."""
