"""The log as it is before anybody shows it: the command leaves its own way of showing behind."""

import logging

import pytest


@pytest.fixture(autouse=True)
def _plain_log():
    log = logging.getLogger("memloc")
    log.handlers, before = [], log.handlers
    yield
    log.handlers = before
