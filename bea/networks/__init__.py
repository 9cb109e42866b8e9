"""Networks as compositions of layers, their perturbations, and how they are read and kept."""
