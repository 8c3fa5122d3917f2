"""synthesize, extract, train, evaluate, project, experiment, pipeline: one POST each.

Options name the parameters of the HTTP contract; ``--set`` and ``--params`` reach every other one.
What is not given is left to the server's defaults.
"""

from __future__ import annotations

import argparse
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from api.client import Client
from api.commands.exits import UsageError
from api.commands.jobs import conclude
from api.commands.options import add_common, add_following, assign, assignment, json_object
from api.commands.session import Session
from api.commands.terminal import table


@dataclass(frozen=True, slots=True)
class Option:
    """A command line option and the parameter that it sets."""

    flag: str
    target: str
    help: str
    convert: Callable[[str], Any] = str
    choices: tuple[str, ...] | None = None


@dataclass(frozen=True, slots=True)
class Submission:
    """A command that submits a job of one kind; ``datasets`` says which versions it takes."""

    name: str
    kind: str
    help: str
    datasets: tuple[tuple[str, str], ...]
    """(parameter, "one" or "many") for each positional argument."""
    options: tuple[Option, ...]


def _names(text: str) -> list[str]:
    return [name.strip() for name in text.split(",") if name.strip()]


def _target(text: str) -> str | int:
    return int(text) if text.lstrip("-").isdigit() else text


def _numbers(text: str) -> list[float]:
    return [float(part) for part in _names(text)]


def _generator(prefix: str = "") -> tuple[Option, ...]:
    """Return the options of a synthesis plan at ``prefix``."""
    return (
        Option("--generator", f"{prefix}generator", "which generator makes the images"),
        Option(
            "--generator-params",
            f"{prefix}generator_params",
            "JSON object or @file",
            lambda text: json_object(text, "--generator-params"),
        ),
        Option(
            "--balance",
            f"{prefix}balance.target",
            "fill classes up to max, median or a number",
            _target,
        ),
        Option("--classes", f"{prefix}balance.classes", "only these, by commas", _names),
        Option(
            "--max-per-real",
            f"{prefix}balance.max_per_real",
            "at most so many per real image",
            float,
        ),
        Option(
            "--counts",
            f"{prefix}counts",
            'JSON object: {"df": 100}',
            lambda text: json_object(text, "--counts"),
        ),
    )


def _learning(prefix: str = "") -> tuple[Option, ...]:
    return (
        Option("--classifier", f"{prefix}classifier", "the primary classifier"),
        Option(
            "--classifier-params",
            f"{prefix}classifier_params",
            "JSON object or @file",
            lambda text: json_object(text, "--classifier-params"),
        ),
    )


def _design(prefix: str = "") -> tuple[Option, ...]:
    return (
        Option("--arms", f"{prefix}arms", "training regimes, by commas", _names),
        Option("--folds", f"{prefix}folds", "folds of the cross-validation", int),
        Option("--repeats", f"{prefix}repeats", "seeds of the cross-validation", int),
        Option(
            "--tuning",
            f"{prefix}tuning",
            "grid (hyperparameters chosen per arm and fold) or none",
            choices=("none", "grid"),
        ),
        *_learning(prefix),
    )


BACKBONE = Option("--backbone", "backbone", "turns images into features")
SEED = Option("--seed", "seed", "same seed, same result", int)
SYNTHETIC = Option("--synthetic", "synthetic_version_ids", "synthetic versions, by commas", _names)
METHOD = ("pca", "tsne", "umap")
ONE = (("dataset_version_id", "one"),)
MANY = (("dataset_version_ids", "many"),)

SUBMISSIONS = (
    Submission(
        "synthesize",
        "synthesize",
        "make images for the weak classes",
        ONE,
        (
            *_generator(),
            Option("--sources", "sources", "real images to start from", choices=("train", "all")),
            Option("--resolution", "resolution", "side of an image in pixels", int),
            Option("--limit", "limit", "1 to 16: a preview, done first", int),
            Option("--name", "name", "of the synthetic dataset"),
            SEED,
        ),
    ),
    Submission(
        "extract",
        "extract_features",
        "turn images into features (Parquet and CSV)",
        MANY,
        (BACKBONE, Option("--batch-size", "batch_size", "images at once", int)),
    ),
    Submission(
        "train",
        "train",
        "train and publish one model",
        MANY,
        (BACKBONE, *_learning(), Option("--name", "name", "of the model"), SEED),
    ),
    Submission(
        "evaluate",
        "evaluate",
        "measure the quality of synthetic images",
        (("dataset_version_id", "one"), ("synthetic_version_id", "one")),
        (
            Option(
                "--metrics",
                "metrics",
                "fd, fid, kid, prdc, vendi, ssim, lpips, ..., by commas",
                _names,
            ),
            BACKBONE,
            SEED,
        ),
    ),
    Submission(
        "project",
        "project",
        "draw a map of the images (PCA, t-SNE, UMAP)",
        MANY,
        (BACKBONE, Option("--method", "method", "of projection", choices=METHOD), SEED),
    ),
    Submission(
        "experiment",
        "experiment",
        "compare training regimes on the same folds",
        ONE,
        (
            SYNTHETIC,
            *_generator("synthesis."),
            *_design(),
            BACKBONE,
            Option("--design", "design", "of the test", choices=("cv", "holdout")),
            Option("--ratios", "ratios", "synthetic per real image, by commas", _numbers),
            SEED,
        ),
    ),
    Submission(
        "outline",
        "train_segmentation",
        "train networks that outline lesions, judged on masks of real images",
        ONE,
        (
            SYNTHETIC,
            Option("--arms", "arms", "real, synthetic, combined, by commas", _names),
            Option("--folds", "folds", "folds of the cross-validation", int),
            Option("--repeats", "repeats", "seeds of the cross-validation", int),
            Option("--architecture", "architecture", "unet or deeplabv3"),
            Option("--size", "image_size", "side of the squares that it sees, pixels", int),
            Option("--epochs", "epochs", "bound on passes over the images", int),
            Option("--name", "name", "of the model"),
            SEED,
        ),
    ),
    Submission(
        "pipeline",
        "pipeline",
        "synthesize, extract, experiment, project, evaluate, report",
        ONE,
        (
            *_generator("synthesize."),
            *_design("experiment."),
            BACKBONE,
            Option("--method", "project.method", "of projection", choices=METHOD),
            Option(
                "--metrics",
                "evaluate.metrics",
                "fd, fid, kid, prdc, vendi, ssim, lpips, ..., by commas",
                _names,
            ),
            SEED,
        ),
    ),
)


def register(commands: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    for submission in SUBMISSIONS:
        parser = commands.add_parser(
            submission.name, help=submission.help, description=submission.help
        )
        _add_arguments(parser, submission)
        parser.set_defaults(run=submit, submission=submission)


def _add_arguments(parser: argparse.ArgumentParser, submission: Submission) -> None:
    for target, number in submission.datasets:
        kind = "SYNTHETIC" if target.startswith("synthetic") else "DATASET"
        parser.add_argument(
            target,
            metavar=kind,
            nargs="+" if number == "many" else None,
            help="a version id, a dataset id (its newest version) or a dataset's name",
        )
    for option in submission.options:
        parser.add_argument(
            option.flag,
            dest=f"set:{option.target}",
            help=option.help,
            choices=option.choices,
            default=None,
        )
    parser.add_argument("--params", help="all parameters: a JSON object or @file")
    parser.add_argument(
        "--set", action="append", default=[], metavar="NAME=VALUE", help="any parameter, a.b=JSON"
    )
    parser.add_argument(
        "--label", action="append", default=[], help="find the job by it later; repeat for more"
    )
    parser.add_argument(
        "--dry-run", action="store_true", help="check and estimate the cost, create nothing"
    )
    parser.add_argument(
        "--download", type=Path, metavar="DIR", help="fetch the files when it has succeeded"
    )
    add_following(parser)
    add_common(parser)


def submit(args: argparse.Namespace, session: Session) -> int:
    """Build the parameters, submit, follow, download."""
    submission: Submission = args.submission
    if args.no_wait and args.download:
        raise UsageError("--download needs the end of the job; it does not go with --no-wait.")
    params = parameters(args, session.client)
    if args.dry_run:
        _show_estimate(session, session.client.jobs.validate(submission.kind, params))
        return 0
    job = session.client.jobs.submit(submission.kind, params, labels=args.label)
    return conclude(args, session, job, args.download)


def parameters(args: argparse.Namespace, client: Client) -> dict[str, Any]:
    """Return the request's body: --params, then options, then --set, then the datasets."""
    submission: Submission = args.submission
    params = json_object(args.params, "--params") if args.params else {}
    for option in submission.options:
        given = getattr(args, f"set:{option.target}")
        if given is not None:
            assign(params, option.target, _converted(option, given))
    for text in args.set:
        assign(params, *assignment(text))
    for target, number in submission.datasets:
        given = getattr(args, target)
        resolve = client.datasets.resolve
        params[target] = [resolve(item) for item in given] if number == "many" else resolve(given)
    return params


def _converted(option: Option, text: str) -> Any:
    try:
        return option.convert(text)
    except ValueError as error:
        raise UsageError(f"{option.flag} {text}: {error}") from error


def _show_estimate(session: Session, estimate: dict[str, Any]) -> None:
    rows = [(name, value) for name, value in estimate.items() if not isinstance(value, dict)]
    inner = [
        item for value in estimate.values() if isinstance(value, dict) for item in value.items()
    ]
    session.terminal.show(table(("estimate", ""), [*rows, *inner]))
    session.terminal.document(estimate)
