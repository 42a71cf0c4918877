"""Stage figure1: what separates devices in a network without ResNorm, statistics by frequency or by channel?

Figure 1 of arXiv 2111.06531: t-SNE of the stage-2 features of the small network, of every test clip once the means and
standard deviations by frequency and once those by channel. The number beside it is the accuracy with which a clip's
nearest other neighbour tells its device.
"""

import numpy as np
import torch

from asc_core.features.store import FeatureStore
from asc_core.files import write_json
from asc_core.models import checkpoint
from pipeline.paper.paths import FILES
from pipeline.paper.rows import systems
from pipeline.params import Params
from pipeline.paths import FEATURES, made
from pipeline.reporting import plots
from pipeline.runtime.journal import Journal
from pipeline.runtime.stage import run


@torch.inference_mode()
def statistics(network: torch.nn.Module, store: FeatureStore, rows: np.ndarray) -> dict[str, np.ndarray]:
    """Means and standard deviations of the stage-2 features: (clips, 2 * frequencies) and (clips, 2 * channels)."""
    parts: dict[str, list[torch.Tensor]] = {"frequency-wise": [], "channel-wise": []}
    for at in range(0, len(rows), 64):
        features = network.features(store.batch(rows[at : at + 64]).float(), 2)  # type: ignore[operator]
        for name, axes in (("frequency-wise", (1, 3)), ("channel-wise", (2, 3))):
            deviation, mean = torch.std_mean(features, dim=axes)
            parts[name].append(torch.cat([mean, deviation], dim=1))
    return {name: torch.cat(values).numpy() for name, values in parts.items()}


def figure1(params: Params, journal: Journal) -> None:
    """Draw the figure and measure what it shows."""
    from sklearn.manifold import TSNE
    from sklearn.model_selection import LeaveOneOut, cross_val_score
    from sklearn.neighbors import KNeighborsClassifier
    from sklearn.pipeline import make_pipeline
    from sklearn.preprocessing import StandardScaler

    store, seed = FeatureStore(made(FEATURES)), systems.load().seeds[0]
    journal.tags({"table": "figure1", "row": systems.FIGURE1})
    network, _ = checkpoint.load(FILES.network(systems.FIGURE1, seed))
    rows = store.rows("test")
    devices = store.clips["device"].to_numpy()[rows]
    embedded, accuracy = {}, {}
    for name, values in statistics(network, store, rows).items():
        nearest = make_pipeline(StandardScaler(), KNeighborsClassifier(1))
        accuracy[name] = 100 * float(cross_val_score(nearest, values, devices, cv=LeaveOneOut()).mean())
        scaled = StandardScaler().fit_transform(values)
        embedded[name] = TSNE(perplexity=min(30, (len(rows) - 1) / 3), random_state=seed).fit_transform(scaled)
        print(
            f"figure1: {name} statistics: the nearest neighbour has the same device for {accuracy[name]:.1f} % of clips"
        )
    plots.scatter_by_device(embedded, accuracy, devices, FILES.reports / "figure1.png")
    write_json(FILES.reports / "figure1.json", {"device_accuracy_of_nearest_neighbour": accuracy, "clips": len(rows)})
    journal.metrics({"device_accuracy": {name.split("-")[0]: value for name, value in accuracy.items()}})
    journal.artifact(FILES.reports / "figure1.png")


if __name__ == "__main__":
    run(figure1, experiment=FILES.experiment)
