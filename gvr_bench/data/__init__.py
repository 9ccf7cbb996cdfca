"""Files from the network: known by their digest, resumable, unpacked with care."""
