"""Ablations: variants of one training, each with several seeds, trained, measured and compared."""
