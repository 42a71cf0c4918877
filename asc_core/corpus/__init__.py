"""Corpora in the layout of TAU Urban Acoustic Scenes 2020 Mobile: read them, render one, fetch the real one."""
