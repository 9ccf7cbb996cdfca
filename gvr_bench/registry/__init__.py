"""Plugins: found, checked, described, and begun from a template."""
