"""What class labels tell of themselves: names, spellings, rates by group, classifiers out of fold."""
