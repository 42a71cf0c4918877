"""What leaves the house: ONNX graphs, LiteRT files, predictions, what a model says of itself.

Not the format of the package, which the stage that trains with 8-bit weights writes (`compression`).
"""
