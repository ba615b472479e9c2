"""From pending trials to outcomes: in this process, or in a pool of workers that live as long as the study."""

from cnnbench.execute.forecast import Forecast
from cnnbench.execute.session import RunOptions, Session, open_session
from cnnbench.execute.study import RunSummary, run_session

__all__ = ["Forecast", "RunOptions", "RunSummary", "Session", "open_session", "run_session"]
