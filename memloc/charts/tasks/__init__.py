"""What is asked of charts: a file a task."""

from memloc.charts.tasks import cluster, correlation, count, distance, extremum, function, mean, outlier, position
from memloc.charts.tasks.task import Answer, Task

TASKS: dict[str, Task] = {
    module.TASK.name: module.TASK
    for module in (count, position, distance, extremum, mean, correlation, function, cluster, outlier)
}
"""Of single marks first, then of crowds."""

__all__ = ["TASKS", "Answer", "Task"]
