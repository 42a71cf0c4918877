"""Accuracy and log loss of a network. Not how results of several seeds are told."""
