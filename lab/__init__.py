"""What studies and notebooks share: data, training, results, claims and figures."""
