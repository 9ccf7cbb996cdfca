"""Executors of stages: this process, or the workers of a Ray cluster."""
