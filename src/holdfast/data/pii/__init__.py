"""Personal data and secrets in texts: found by patterns and check digits, offline, without a model."""
