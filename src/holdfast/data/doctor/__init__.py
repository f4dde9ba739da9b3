"""The data doctor: rows go through checks, one after another, and every row ends kept, changed or rejected."""
