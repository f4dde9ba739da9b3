"""The story of one order, from files to a promoted version; the rooms below are wired together here."""
