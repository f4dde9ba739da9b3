"""The only door to transformers and peft: load, render, adapt, generate, save; and the embedded base."""
