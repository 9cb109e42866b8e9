"""What is measured on results: distributions, diffuseness, rescaling."""
