"""Digits whose strokes are changed, with pixel-exact twins."""
