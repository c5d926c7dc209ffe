"""Networks and their form as bytes; knows nothing of paths, data or training."""
