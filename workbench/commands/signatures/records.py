"""`workbench runs`, `export`, `import` and `doctor`: what stands in records, and what is
installed."""

from __future__ import annotations

from pathlib import Path

from workbench.commands import options


def runs(
    folder: options.RunsFolder = Path("runs"),
    as_json: options.JsonLines = False,
) -> None:
    """List the runs in a folder."""
    from workbench.commands.runs import runs_command

    runs_command(folder, as_json)


def export(
    kind: options.ExportKind,
    run: options.ExportedRuns,
    out: options.ExportOut = None,
) -> None:
    """Write a run's record as one HTML file or as CSV tables."""
    from workbench.commands.runs import export_command

    export_command(kind, run, out)


def import_(
    files: options.ImportedFiles,
    source: options.ImportFrom,
    out: options.ImportOut = Path("runs/imported"),
    policy: options.ImportedPolicy = "",
) -> None:
    """Completions and rewards that another trainer wrote, as a run that dashboard and doctor
    open."""
    from workbench.commands.importing import import_command

    import_command(files, source, out, policy)


def doctor(
    run: options.ExaminedRun = None,
    as_json: options.JsonLines = False,
) -> None:
    """What of the workbench will work on this machine; or, for a RUN, what is going on in it, in
    words."""
    from workbench.commands.doctor import doctor_command, run_command

    if run is not None:
        run_command(run)
    else:
        doctor_command(as_json)
