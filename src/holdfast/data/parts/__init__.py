"""Which row goes to training, to the test and to validation."""
