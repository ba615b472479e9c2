"""Findings as a reader meets them: the terminal's last words, a page for referees, files for programs and papers.

Nothing is tested or estimated here; every number comes from a `StudyView`. The page is one self-contained file.
"""

from cnnbench.report.markdown import write_markdown
from cnnbench.report.terminal import terminal_summary
from cnnbench.report.view import build_view
from cnnbench.report.write import write_report

__all__ = ["build_view", "terminal_summary", "write_markdown", "write_report"]
