"""Which clips there are: read a corpus, render one, fetch TAU Urban Acoustic Scenes Mobile, hold clips back.

Not what is in their sound (`features`).
"""
