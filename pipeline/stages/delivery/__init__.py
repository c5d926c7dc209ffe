"""The last stages: the size gate, the predictions, the submission folder."""
