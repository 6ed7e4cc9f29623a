"""The admin of the task platform: jobs, what is held, what was steered, and the schedule."""

from myproject.jobs.admin import controls, jobs, schedules

__all__ = ["controls", "jobs", "schedules"]
