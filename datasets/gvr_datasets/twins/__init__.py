"""Images of another data set, half of them with a finding added: each with its untouched twin."""
