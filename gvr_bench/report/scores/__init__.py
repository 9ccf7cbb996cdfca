"""What a report says of explainers and models in numbers and words."""
