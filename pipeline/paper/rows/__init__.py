"""What the rows of the tables are: their networks, their published figures, and the settings of paper.yaml."""
