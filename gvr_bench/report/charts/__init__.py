"""What a report draws: coordinates for inline SVG, and the figures that can be saved."""
