"""Interfaces, errors and the training context: what every other package builds on."""
