"""The cache of values: atomic, checked, resumable."""
