"""What a preparation leaves behind: typed data, its documents, a report for people, and a version."""
