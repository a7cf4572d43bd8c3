"""What happens to the projects of a token's row. The row's projects must be loaded."""

from __future__ import annotations

from datetime import datetime

from flow2api_token_service.tokens.models import ProjectRow, TokenRow

MAX_PROJECTS = 20
"""Projects that are remembered of a token."""


def project_of(row: TokenRow, project_id: str) -> ProjectRow | None:
    """The project of that id."""
    return next((project for project in row.projects if project.project_id == project_id), None)


def active_project_ids(row: TokenRow) -> tuple[str, ...]:
    """Where the token may work, in the order in which they were added; empty when it has no project."""
    active = tuple(project.project_id for project in row.projects if project.is_active)
    return active or ((row.project_id,) if row.project_id else ())


def work_in(row: TokenRow, project_id: str, title: str, now: datetime) -> ProjectRow:
    """Let the token work in a project, which is added when it is not known and current when no other is."""
    project = project_of(row, project_id)
    if project is None:
        project = ProjectRow(project_id=project_id, created_at=now)
        row.projects.append(project)
    project.project_name = title
    project.is_active = True
    if not row.project_id:
        make_current(row, project)
    return project


def make_current(row: TokenRow, project: ProjectRow) -> None:
    """Make a project the one that is worked in without turns."""
    row.project_id, row.project_name = project.project_id, project.project_name


def leave(row: TokenRow, project: ProjectRow) -> None:
    """Begin nothing new in a project; another active one becomes the current one."""
    project.is_active = False
    if row.project_id != project.project_id:
        return
    row.project_id, row.project_name = "", ""
    other = next((each for each in row.projects if each.is_active), None)
    if other is not None:
        make_current(row, other)


def forget_oldest(row: TokenRow) -> None:
    """Make room: of too many projects, those that are not active go first."""
    inactive = [project for project in row.projects if not project.is_active]
    for project in inactive[: max(0, len(row.projects) - MAX_PROJECTS)]:
        row.projects.remove(project)
