"""Which clips there are: read a corpus, render one, fetch TAU Urban Acoustic Scenes 2020 Mobile.

Not what is in their sound (`features`).
"""
