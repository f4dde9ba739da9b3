"""HTTP as the OpenAI client speaks it: parses, calls, formats; decides nothing."""
