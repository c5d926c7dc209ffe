"""Teacher networks: our own CNNs, and timm networks made fit for small images."""
