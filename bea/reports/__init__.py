"""What is said and shown of results: short texts, tidy frames, pictures. Knows arrays, no networks."""
