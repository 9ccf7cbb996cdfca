"""The store of values: atomic, checked, resumable."""
