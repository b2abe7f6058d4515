"""Augmentation: how examples are varied while training, one module for each kind of picture."""
