"""Measurements of a trained network: losses, firing rates, operations, energy, and how its replies read."""
