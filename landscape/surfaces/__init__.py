"""Directions, the sweep over displaced weights, and the surfaces that come of it."""
