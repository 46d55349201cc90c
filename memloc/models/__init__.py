"""Encoders: their architectures, how they learn, and what is read from them."""
