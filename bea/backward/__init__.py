"""Backward errors: the closed form of section 2 and the smallest attack of section 3 of paper B."""
