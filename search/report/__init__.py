"""What does a study say? One page, its tables and its sentences."""
