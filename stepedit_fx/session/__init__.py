"""One live graph: turned from anywhere, rendered behind. The only thing faces talk to."""

from stepedit_fx.session.events import (
    Changed,
    Event,
    Finished,
    Opened,
    Progressed,
    Scene,
    TransportState,
    Trouble,
)
from stepedit_fx.session.jobs import Heard, Job, JobState, Rendered, Request
from stepedit_fx.session.session import Learner, Session, Transport

__all__ = [
    "Changed",
    "Event",
    "Finished",
    "Heard",
    "Job",
    "JobState",
    "Learner",
    "Opened",
    "Progressed",
    "Rendered",
    "Request",
    "Scene",
    "Session",
    "Transport",
    "TransportState",
    "Trouble",
]
