"""Who computes the stages of a run: this process, or the workers of a Ray cluster."""
