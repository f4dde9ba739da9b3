"""Raw files in, trustworthy Examples out, and a report of what was dropped and why."""
