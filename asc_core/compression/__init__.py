"""From a trained network to one that fits the device: pruning, quantisation, size accounts, rules, the package."""
