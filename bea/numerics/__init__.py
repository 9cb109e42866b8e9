"""Arrays, checks, blocks, small matrices, and the quadratic and sequential programmes."""
