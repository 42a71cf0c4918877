"""How far new recordings are from those of training, told without labels. Nothing here decides what a network is."""
