"""Duplicates on three levels: equal content, shared shingles, equal meaning; and which of them is kept."""
