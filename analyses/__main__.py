"""List the analyses: `python -m analyses`."""

import sys

ANALYSES = {
    "homeostasis": "Does the geometry come back downstream of a patch, and what brings it back?",
}


def main() -> None:
    width = max(map(len, ANALYSES))
    for name, question in ANALYSES.items():
        sys.stdout.write(f"python -m analyses.{name:<{width}}  {question}\n")


if __name__ == "__main__":
    main()
