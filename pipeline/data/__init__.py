"""Contests, images, views, batches, CSV files."""
