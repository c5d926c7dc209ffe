"""The one train loop: step, optimizers, EMA, losses, schedule; inference, metrics and the ensemble."""
