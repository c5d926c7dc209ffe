"""Student networks: the layer table of each, and the torch modules that it becomes."""
