"""What the project measures of itself: accuracy with few annotations, beside its peers, and speed."""
