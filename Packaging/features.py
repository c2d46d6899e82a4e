"""features.py [--check]: makes the table of features in README.md from features.yaml.

With --check nothing is written: it fails when the table is not up to date, or when a path that the manifest names is absent.
Run by `make features` and by CI, with the Python of .venv (Packaging/venv.sh).
"""

import pathlib
import sys

import yaml

ROOT = pathlib.Path(__file__).resolve().parent.parent
BEGIN, END = "<!-- features: made by `make features` from features.yaml -->", "<!-- end of features -->"


def table(groups):
    lines = ["| | feature | code | tests |", "|---|---|---|---|"]
    for group in groups:
        for number, feature in enumerate(group["features"]):
            title = f"**{group['group']}**" if number == 0 else ""
            lines.append(
                f"| {title} | **{feature['name']}**: {feature['text']} | [{feature['code'].removeprefix('Sources/')}]({feature['code']}) | "
                f"[{pathlib.Path(feature['test']).name}]({feature['test']}) |")
    return "\n".join(lines)


def main():
    groups = yaml.safe_load((ROOT / "features.yaml").read_text())
    absent = [
        path for group in groups for feature in group["features"] for path in (feature["code"], feature["test"])
        if not (ROOT / path).exists()]
    if absent:
        sys.exit(f"features.yaml names what is not there: {', '.join(absent)}")
    readme = ROOT / "README.md"
    text = readme.read_text()
    before, found, rest = text.partition(BEGIN)
    _, ended, after = rest.partition(END)
    if not found or not ended:
        sys.exit(f"README.md: the table's marks are missing: {BEGIN} and {END}")
    wanted = f"{before}{BEGIN}\n{table(groups)}\n{END}{after}"
    if wanted == text:
        return
    if "--check" in sys.argv[1:]:
        sys.exit("README.md: the table of features is not that of features.yaml; make it with: make features")
    readme.write_text(wanted)


if __name__ == "__main__":
    main()
