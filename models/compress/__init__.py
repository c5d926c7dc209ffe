"""Ways to make a trained student smaller before it is packed."""
