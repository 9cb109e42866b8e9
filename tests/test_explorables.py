"""What all explorables with exercises have in common."""

import json
import re
from urllib.parse import urljoin

import pytest


@pytest.mark.parametrize("name", ["attacker", "plane", "ray", "sandwich"])
def test_without_scripts_the_page_says_what_is_missing(browser, site, name):
    """Where JavaScript is off, a sentence stands in the place of the figure."""
    context = browser.new_context(java_script_enabled=False)
    page = context.new_page()
    page.goto(urljoin(site, f"book/{name}.html"))
    text = page.inner_text(f"#{name}")
    context.close()
    assert "needs JavaScript" in text


@pytest.mark.parametrize(("name", "exercises"), [("attacker", 8), ("ray", 5), ("sandwich", 5)])
def test_the_code_of_the_solutions_runs(smoke, monkeypatch, name, exercises):
    """All solutions, in their order behind the first lines, as a reader pastes them."""
    monkeypatch.chdir(smoke)
    text = (smoke / "book" / f"{name}.md").read_text(encoding="utf-8")
    assert text.count("{admonition} Exercise") == text.count("{dropdown} Solution") == exercises
    dataset = json.loads((smoke / "results" / "dataset.json").read_text(encoding="utf-8"))["name"]
    code = re.findall(r"```python\n(.*?)```", text, flags=re.DOTALL)
    assert len(code) == exercises + 1
    exec("\n".join(code).replace('"mnist"', repr(dataset)), {})
