"""The relay: publishes what was committed and not published, what is due, and what seems lost.

Any number may run. `process.py` is one of them: a thread per Celery app (`courier.py`), and in the main thread leases,
the report and the pruner. `rows.py` holds the SQL, `decisions.py` what is decided without any server, `marks.py` how a
flushed broker is noticed, `brokers.py` what waits in a broker. docs/relay.md states the contract.
"""
