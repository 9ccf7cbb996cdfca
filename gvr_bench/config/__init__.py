"""Specs of runs, and the experiments of the papers."""
