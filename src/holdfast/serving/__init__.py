"""Serving: one base model, many adapters, tokens as they come."""
