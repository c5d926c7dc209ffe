"""Experiments: many students on one contest's views and soft labels, compared in a table and a image."""
