"""Findings planted in real images."""
