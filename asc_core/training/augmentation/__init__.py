"""Augmentations: what is done to a whole training batch at a time, one a file, its configuration with it.

`config` says which there are and in which order a batch goes through them. A configuration is read where nothing is
computed, so these modules load torch only when they are called. Shapes are (batch, 1, mel, frame); nothing loops over
clips.
"""
