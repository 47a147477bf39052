"""`workbench runs`, `export …`, `import` and `doctor`: what stands in records, and what is
installed."""

from __future__ import annotations

from pathlib import Path

from workbench.commands import options


def runs(
    folder: options.RunsFolder = Path("runs"),
    check: options.CheckRuns = False,
    as_json: options.JsonLines = False,
) -> None:
    """List the runs in a folder."""
    if check:
        from workbench.commands.trust import check_command

        check_command(folder, as_json)
        return
    from workbench.commands.runs import runs_command

    runs_command(folder, as_json)


def repair(
    run: options.DamagedRun,
    out: options.RepairOut = None,
    as_json: options.JsonObject = False,
) -> None:
    """Write what is whole of a damaged run into a folder of its own, to be read and gone on with.
    The damaged one stays as it is."""
    from workbench.commands.trust import repair_command

    repair_command(run, out, as_json)


def export_html(
    run: options.ExportedRuns,
    out: options.ExportOut = None,
) -> None:
    """One interactive file that opens offline; several runs are compared in it."""
    from workbench.commands.runs import export_html_command

    export_html_command(run, out)


def export_csv(
    run: options.ExportedRun,
    out: options.ExportOut = None,
) -> None:
    """A folder of tables and JSON lines."""
    from workbench.commands.runs import export_csv_command

    export_csv_command(run, out)


def export_trl(
    source: options.ExportedSource,
    out: options.ExportOut = None,
    policy: options.ExportedPolicy = None,
    task: options.ExportedTask = None,
    reward: options.Rewards = None,
    set_: options.Settings = None,
) -> None:
    """A folder that trains by TRL: python train.py, or by accelerate on several GPUs. Its README
    says what was mapped, what differs and what has no counterpart."""
    from workbench.commands.exporting import export_to_command

    export_to_command("trl", source, out, policy, task, reward, options.changes_of(set_))


def export_verl(
    source: options.ExportedSource,
    out: options.ExportOut = None,
    policy: options.ExportedPolicy = None,
    task: options.ExportedTask = None,
    reward: options.Rewards = None,
    set_: options.Settings = None,
) -> None:
    """A folder that trains by verl on GPUs: bash train.sh. Its README says what was mapped, what
    differs and what has no counterpart."""
    from workbench.commands.exporting import export_to_command

    export_to_command("verl", source, out, policy, task, reward, options.changes_of(set_))


def import_(
    files: options.ImportedFiles,
    source: options.ImportFrom,
    out: options.ImportOut = Path("runs/imported"),
    policy: options.ImportedPolicy = "",
    reward: options.ImportedRewards = None,
    total: options.ImportedTotal = None,
    evaluation: options.ImportedEvaluation = None,
) -> None:
    """Completions and rewards that another trainer wrote, as a run that dashboard and doctor
    open."""
    from workbench.commands.importing import import_command

    import_command(files, source, out, policy, reward or [], total, evaluation or [])


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
