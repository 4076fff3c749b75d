"""Kinds of direction beside the random ones of `surfaces.directions`; each file is one recipe."""
