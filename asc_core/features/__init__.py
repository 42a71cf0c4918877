"""Sound to tensors: decoding, log-mel energies, the feature store, the front end of a prediction.

Not which clips there are (`corpus`), nor what training does to them (`training`).
"""
