"""The cache of stages' values: atomic, checked, resumable."""
