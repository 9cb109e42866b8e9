"""The experiments, one module a chapter: networks, images and numbers in, tidy tables out."""
