"""Recipes for the figures and tables of the papers."""
