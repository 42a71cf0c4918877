"""What came of a run: the verdict, and accuracy by network, device and scene."""

from collections import Counter
from typing import Any

from asc_core.evaluation.predictions import SHIPPED
from asc_core.page import charts
from asc_core.page.parts import Figure, Section, Table, Text
from pipeline.page.run import NAMES, Run, spread
from pipeline.reporting.tables import BRACKETS, cell

CHECKS = {
    "counted_bytes": "bytes counted, own budget",
    "file_bytes": "bytes of the file",
    "accuracy": "accuracy, %",
    "accuracy_drop": "accuracy lost from teacher to shipped, points",
    "worst_device": "accuracy on the worst device, %",
}
SHARES = {"all devices": "accuracy", "seen devices": "accuracy_seen", "unseen devices": "accuracy_unseen"}


def verdict(run: Run) -> Section:
    """Whether the gate lets the model pass, and every check."""
    failed = [check for check in run.checks if not check["passed"]]
    model, clips = run.shipped, run.validation["clips"]["test"]
    if failed:
        names = ", ".join(CHECKS.get(check["name"], check["name"]) for check in failed)
        first = Text(f"Failed: {len(failed)} of {len(run.checks)} checks of the gate are missed: {names}.", "bad")
    else:
        first = Text(f"Passed: all {len(run.checks)} checks of the gate are met.", "good")
    on_unseen = f", {cell(model['accuracy_unseen'])} % on devices that training never heard" if run.unseen else ""
    summary = (
        f"The shipped network tells {len(run.scenes)} scenes apart with an accuracy of {cell(model['accuracy'])} %"
        f"{on_unseen}; before compression it was {cell(run.summary['teacher']['accuracy'])} %. It was measured on "
        f"{clips:,} test clips with {_count(len(run.seeds), 'seed')}, counts {model['size']['counted_bytes']:,} bytes "
        f"and takes {model['size']['macs']:,} multiply-accumulates for a clip."
    )
    rows = [
        [
            CHECKS.get(check["name"], check["name"]),
            _number(check["value"]),
            f"{check['sense']} {_number(check['limit'])}",
            _number(abs(check["value"] - check["limit"])),
            "passed" if check["passed"] else "FAILED",
        ]
        for check in run.checks
    ]
    table = Table("Checks of the gate", ["check", "measured", "limit", "margin", "verdict"], rows)
    return Section("verdict", "Verdict", [first, Text(summary), table])


def accuracy(run: Run) -> Section:
    """The networks from the teacher to what is shipped."""
    rows = []
    for network, model in run.summary.items():
        size = model["size"]
        rows.append([
            NAMES.get(network, network), *(cell(model[key]) for key in SHARES.values()), cell(model["log_loss"], 3),
            f"{size['nonzero_parameters']:,}", f"{size['counted_bytes'] / 1024:.1f}",
        ])  # fmt: skip
    heads = ["network", *SHARES, "log loss", "non-zero parameters", "KB counted"]
    points = [
        _point(value[key], network=NAMES.get(network, network), devices=share)
        for network, value in run.summary.items()
        for share, key in SHARES.items()
        if value[key] is not None
    ]
    spec = charts.spreads(points, "network", "devices", "accuracy, %")
    told = f"Accuracy in percent, the mean over the scenes, {_spread_told(run)}."
    return Section("accuracy", "Accuracy, from teacher to shipped", [
        Figure("accuracy-chart", "Accuracy of each network", told, spec),
        Table(f"Mean ± standard deviation over {_count(len(run.seeds), 'seed')}, {BRACKETS}", heads, rows),
    ])  # fmt: skip


def devices(run: Run) -> Section:
    """Accuracy on each device: those of training, and those it never heard."""
    parts: list[Any] = []
    everything = list(run.shipped["accuracy_by_device"])
    groups = {
        "seen": ("Devices that training heard", [name for name in everything if name not in run.unseen]),
        "unseen": ("Devices that training never heard", [name for name in everything if name in run.unseen]),
    }
    for group, (title, names) in groups.items():
        if names:
            parts.append(_comparison(run, f"{group}-devices", title, "accuracy_by_device", "device", names))
    if not run.unseen:
        parts.append(Text("Every device of the test split is one that training heard too."))
    return Section("devices", "Devices", parts)


def scenes(run: Run) -> Section:
    """Accuracy on each scene, and what is taken for what."""
    names = list(run.shipped["accuracy_by_scene"])
    table = run.predictions
    answers = table[run.scenes].idxmax(axis=1)
    counts = Counter(zip(table["scene"], answers, strict=True))
    clips = table["scene"].value_counts()
    share = {(scene, str(answer)): 100 * count / int(clips[scene]) for (scene, answer), count in counts.items()}
    rows = [
        {"scene": scene, "answer": answer, "percent": round(share.get((scene, answer), 0.0), 1)}
        for scene in names
        for answer in run.scenes
    ]
    wrong = sorted(((value, *pair) for pair, value in share.items() if pair[0] != pair[1]), reverse=True)
    told = "Of each scene's clips (a row), how many percent get each answer (a column); over all seeds."
    if wrong:
        value, scene, answer = wrong[0]
        told += f" The most frequent error: {value:.0f} % of {scene} is taken for {answer}."
    numbers = [[scene, *(f"{share.get((scene, answer), 0.0):.0f}" for answer in run.scenes)] for scene in names]
    return Section("scenes", "Scenes", [
        _comparison(run, "scenes-chart", "Accuracy by scene", "accuracy_by_scene", "scene", names),
        Figure("confusion", "Confusion of the shipped network", told, charts.matrix(rows, "scene", "answer", "percent"),
               Table("Percent of the clips of a scene", ["scene", *run.scenes], numbers)),
    ])  # fmt: skip


def _comparison(run: Run, name: str, title: str, metric: str, kind: str, groups: list[str]) -> Figure:
    """Teacher and shipped network on each of some groups."""
    networks = {name: NAMES[name] for name in ("teacher", SHIPPED)}
    points = [
        _point(run.summary[network][metric][group], **{kind: group, "network": shown})
        for group in groups
        for network, shown in networks.items()
    ]
    ranked = sorted(groups, key=lambda group: run.shipped[metric][group]["mean"])
    worst, best = (f"{group} ({run.shipped[metric][group]['mean']:.1f} %)" for group in (ranked[0], ranked[-1]))
    told = f"The shipped network is best on {best} and worst on {worst}; {_spread_told(run)}."
    rows = [[group, *(cell(run.summary[network][metric][group]) for network in run.summary)] for group in groups]
    heads = [kind, *(NAMES.get(network, network) for network in run.summary)]
    table = Table(f"Accuracy in percent by {kind}", heads, rows)
    return Figure(name, title, told, charts.spreads(points, kind, "network", "accuracy, %"), table)


def _point(value: dict[str, Any], **names: str) -> dict[str, Any]:
    least, most = spread(value)
    numbers = {"value": value["mean"], "least": max(least, 0), "most": min(most, 100)}
    return {**names, **{key: round(number, 2) for key, number in numbers.items()}}


def _spread_told(run: Run) -> str:
    if run.shipped["accuracy"].get("interval"):
        return "lines are the intervals of the summary"
    return "lines are one standard deviation over the seeds to either side" if len(run.seeds) > 1 else "of one seed"


def _count(number: int, what: str) -> str:
    return f"{number} {what}" if number == 1 else f"{number} {what}s"


def _number(value: float) -> str:
    return f"{value:,}" if isinstance(value, int) else f"{value:,.2f}"
