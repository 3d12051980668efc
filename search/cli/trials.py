"""nas trials: what a study has tried."""

from pathlib import Path

from search.cli.output import Format, OutputFormat, print_networks
from search.cli.studies import Studies, StudyName, open_study


def trials(study: StudyName = None, studies: Studies = Path("studies"), format: OutputFormat = Format.TABLE) -> None:
    """List a study's trials."""
    from search.study.reading import read_view

    files, _ = open_study(studies, study)
    rows = [
        {
            "number": trial.number,
            "state": trial.state,
            "value": trial.value,
            "params": trial.params,
            "macs": trial.macs,
            "epochs": trial.num_epochs,
            "seconds": trial.seconds,
            "baseline": trial.baseline,
            "architecture": trial.architecture.to_dict(),
        }
        for trial in read_view(files).trials
    ]
    print_networks(rows, format)
