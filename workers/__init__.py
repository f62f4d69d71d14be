"""When it happens: the Celery app, the stage helper, queues as data, and tasks that ring the use cases' doorbells."""

from workers.app import app

__all__ = ["app"]
