"""List the analyses: `python -m analyses`."""

import sys

ANALYSES = {
    "homeostasis": "Does the geometry come back downstream of a patch, and what brings it back?",
    "cross_architecture": "Is there a critical layer, and at the same depth in every model?",
    "alignment_quality": "How far do safe and unsafe inputs lie apart inside a model?",
    "alignment_steering": "Can what tuning did to a model be carried as a vector?",
    "model_diff": "What tells a trait from its opposite in base and instruct, and does it steer?",
    "refusal": "Which layer, method and dose make a model refuse, across families?",
}


def main() -> int:
    if sys.argv[1:] and not sys.argv[1].startswith("-"):
        sys.stderr.write(f"name the analysis with a dot: python -m analyses.{sys.argv[1]}\n")
        return 2
    width = max(map(len, ANALYSES))
    for name, question in ANALYSES.items():
        sys.stdout.write(f"python -m analyses.{name:<{width}}  {question}\n")
    return 0


if __name__ == "__main__":
    sys.exit(main())
