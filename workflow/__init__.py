"""What runs after what: helpers of the Snakefile. Everything here runs in the root of the repository."""
