"""Questions to the records of a database: pipelines of them, and indexes."""
