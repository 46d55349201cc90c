"""Encoders changed, to see what layers and units are worth: pruned, replaced, fine-tuned, trained on one image."""
