"""Skills x model -> scores with error bars; what was learned and what was forgotten."""
