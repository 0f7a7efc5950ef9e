"""The tables of what energy means: ``python tests/benchmarks/energy_meaning.py``.

For gesture, N-MNIST and Spikformer-2-256 and every hardware profile: rank correlation of energy
with storage and average bits over random candidates, shares of the columns and the response to
firing. Nothing has to be prepared: rates are stated (0.15). The guide's page on the cost model
holds them.
"""

from __future__ import annotations

from pathlib import Path

from hqsearch.analysis.energy_meaning import Correlation, energy_meaning
from hqsearch.definition import embedded, load_study
from hqsearch.evaluator import Setup
from hqsearch.evaluator.registry import make_evaluator


def text(found: Correlation) -> str:
    """With and without fp32."""
    return " / ".join(
        "–" if r is None else f"{r:.2f}" for r in (found.with_fp32, found.without_fp32)
    )


def main() -> None:
    """Print one Markdown table for each network."""
    for name in ("gesture", "nmnist", "dvs-gesture"):
        definition = load_study(embedded("studies")[name])
        found = energy_meaning(make_evaluator(Setup(definition, Path("absent"))))
        assert found is not None
        print(f"\n{name}, rates {found.rates}")
        for p in found.profiles:
            shares = ", ".join(f"{n} {s:.0%}" for n, s in p.columns.items() if s >= 0.005)
            response = "" if p.response is None else f"{p.response:.2f}"
            print(f"| `{p.profile}` | {text(p.storage)} | {text(p.bits)} | {shares} | {response} |")


if __name__ == "__main__":
    main()
