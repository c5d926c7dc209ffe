"""Stored views, batches, live augmentation, folds, soft labels."""
