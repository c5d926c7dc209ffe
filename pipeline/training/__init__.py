"""Device, losses, schedule, the one train loop, inference."""
