"""Verification: which rows a person is to look at, the answers, and the verified rows that come of them."""

from gdw.data.verification.agreement import Agreement, agreements
from gdw.data.verification.answers import Answer, Journal, answers_of, read_answers
from gdw.data.verification.queue import Candidate, Queue
from gdw.data.verification.queue_file import is_queue, read_queue, write_queue
from gdw.data.verification.verification import Verification, read
from gdw.data.verification.verified_rows import VerifiedRows, verified_in, verified_rows

__all__ = [
    "Agreement",
    "Answer",
    "Candidate",
    "Journal",
    "Queue",
    "Verification",
    "VerifiedRows",
    "agreements",
    "answers_of",
    "is_queue",
    "read",
    "read_answers",
    "read_queue",
    "verified_in",
    "verified_rows",
    "write_queue",
]
