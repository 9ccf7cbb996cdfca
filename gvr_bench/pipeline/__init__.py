"""A run: its plan, its stages, and what computes them."""
