"""The only room that remembers: a SQL database and content-addressed files."""
