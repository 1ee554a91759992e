"""What the package says of itself: licence, supported Python versions, types."""

import hashlib
import re
import tomllib
from pathlib import Path

import yaml

ROOT = Path(__file__).resolve().parents[1]
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]


def test_the_license_is_the_unchanged_text_of_apache_2() -> None:
    assert PROJECT["license"] == "Apache-2.0"
    assert all((ROOT / name).is_file() for name in PROJECT["license-files"])
    text = (ROOT / "LICENSE").read_bytes()
    assert hashlib.sha256(text).hexdigest() == "cfc7749b96f63bd31c3c42b5c471bf756814053e847c10f3eb003417bc523d30"


def test_the_newest_release_of_the_changelog_is_the_version() -> None:
    releases = re.findall(
        r"^## (\S+)(?: \((\S+)\))?$", (ROOT / "CHANGELOG.md").read_text(encoding="utf-8"), re.MULTILINE
    )
    dated = [release for release in releases if release[0] != "Unreleased"]
    assert dated[0][0] == PROJECT["version"]
    assert all(re.fullmatch(r"\d{4}-\d\d-\d\d", day) for _, day in dated)
    assert [day for _, day in dated] == sorted((day for _, day in dated), reverse=True)


def test_the_oldest_python_is_the_same_everywhere() -> None:
    versions = re.findall(
        r"^Programming Language :: Python :: (3\.\d+)$", "\n".join(PROJECT["classifiers"]), re.MULTILINE
    )
    assert PROJECT["requires-python"] == f">={versions[0]}"
    assert versions == sorted(versions, key=lambda version: int(version.removeprefix("3.")))


def test_both_packages_carry_the_marker_of_typed_packages() -> None:
    assert (ROOT / "kalshi_ingest/py.typed").is_file()
    assert (ROOT / "kalshi_simulator/py.typed").is_file()


def test_continuous_integration_runs_on_each_supported_python() -> None:
    job = yaml.safe_load((ROOT / ".github/workflows/test.yml").read_text(encoding="utf-8"))["jobs"]["test"]
    assert [f"Programming Language :: Python :: {version}" for version in job["strategy"]["matrix"]["python"]] == [
        line for line in PROJECT["classifiers"] if ":: Python :: 3." in line
    ]
    assert job["steps"][-1] == {"run": ".ci/run"}
    assert all(re.search(r"@v\d+$", step["uses"]) for step in job["steps"][:-1])


def test_the_hooks_before_a_commit_are_the_tools_of_the_virtual_environment() -> None:
    hooks = yaml.safe_load((ROOT / ".pre-commit-config.yaml").read_text(encoding="utf-8"))
    (repository,) = hooks["repos"]
    assert repository["repo"] == "local"
    assert all(hook["language"] == "system" for hook in repository["hooks"])
    assert all(hook["entry"].startswith(".venv/bin/") for hook in repository["hooks"])
