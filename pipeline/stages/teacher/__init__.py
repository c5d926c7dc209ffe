"""The teacher stages: train the members, export their predictions, blend them into soft labels."""
