"""Teacher networks: our own CNNs, and timm networks adapted to small images."""
