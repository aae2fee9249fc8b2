"""Settings of gunicorn: the database is opened in each worker, after the fork."""

import app


def post_fork(server, worker):
    """Forget what the master has; the first request opens it here."""
    app.open_visits.cache_clear()
