"""Work on a whole database: compare it with its types, rewrite, salvage it."""
