"""Workers of a run: processes of this machine, or tasks on a Ray cluster."""
