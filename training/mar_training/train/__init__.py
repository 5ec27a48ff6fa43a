"""The training loop and its parts: recipe, optimiser, objective, devices, checkpoints, log."""
