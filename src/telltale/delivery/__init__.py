"""What leaves the house: predictions."""
