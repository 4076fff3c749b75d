"""Threat models, attacks on a model given as a function, and the one measurement."""
