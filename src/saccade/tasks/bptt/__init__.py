"""Short sequences with targets, whose gradient is worked out by hand."""
