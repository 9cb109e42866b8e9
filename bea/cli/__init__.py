"""The command line: models, images and results in files. Above all other rooms of ``bea``, which do not know it."""
