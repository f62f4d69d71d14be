"""Rings a stage by Celery message: ids only, many jobs of one stage in one message, under one seal."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence

from kombu.exceptions import OperationalError

from common.domain.errors import Transient
from common.domain.job import JobRef, Stage
from workers.queues import STAGE_QUEUES
from workers.seal import seal_now


class CeleryBus:
    """The Bus port on Celery; a message that cannot be published is the relay's business."""

    def ring(self, refs: Sequence[JobRef]) -> None:
        """Publish one message per stage and batch of jobs; raises Transient when the broker does not answer."""
        from workers.app import app

        by_stage: dict[Stage, list[JobRef]] = defaultdict(list)
        for ref in refs:
            by_stage[ref.stage].append(ref)
        try:
            with app.producer_or_acquire() as producer:
                for stage, items in by_stage.items():
                    for batch in _batches(items, STAGE_QUEUES[stage].batch):
                        arguments = {"jobs": batch, **seal_now(stage, batch)}
                        app.send_task(stage.value, kwargs=arguments, producer=producer, retry=False)
        except (OperationalError, OSError) as error:
            raise Transient(f"broker: {error}") from error


def _batches(refs: Sequence[JobRef], size: int) -> list[list[list[str | None]]]:
    named = [[str(ref.id), str(ref.tenant_id) if ref.tenant_id else None] for ref in refs]
    return [named[start : start + size] for start in range(0, len(named), size)]
