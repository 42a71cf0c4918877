"""A package as C99 for a device: the front end, the network, and a program that names the scene of a WAV file.

The front end and the kernels stand beside this file as they are exported; tables and the network's own code are
written by `tables` and `network`.
"""
