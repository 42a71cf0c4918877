"""What becomes of the shipped model on a device: what it costs there, and whether its exported file answers alike."""
