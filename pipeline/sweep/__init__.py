"""Search over parameters: what a space is, the study that Optuna keeps, one trial, what came of it.

Trials are judged on the validation split alone, and are no stages of DVC: nothing depends on a network that is thrown
away, and several at once would want the same outputs.
"""
