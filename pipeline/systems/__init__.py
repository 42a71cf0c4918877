"""What the pipelines of the tables share: one system, trained from scratch and measured."""
