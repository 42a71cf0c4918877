"""The networks and their normalisations, their checkpoints, and what they cost.

Not how they are trained or made smaller.
"""
