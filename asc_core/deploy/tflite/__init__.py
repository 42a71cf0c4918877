"""A deployed network as a LiteRT (TensorFlow Lite) file, which phones, small computers and microcontrollers run.

The converter is our own: LiteRT's cannot be installed beside Prefect (it wants a typing-extensions before 4.13, Prefect
one from 4.15 on), brings 1 GB, and makes files whose names and transposes outweigh these networks several times.
"""
