"""Texts of one data set that stand in another: tests in training data, training data in tests."""
