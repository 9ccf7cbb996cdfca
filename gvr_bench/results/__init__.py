"""The files of a run folder: each has one schema, written and read here."""
