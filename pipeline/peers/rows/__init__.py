"""What the rows of the table are, where their recipes come from, and the settings of peers.yaml."""
