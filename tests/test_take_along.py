"""What a reader takes along: the site as a zip, the slides, a chapter that runs by itself, figures, links."""

import json
import os
import re
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest
import yaml

from lab.sources import files_reached
from workflow import chapter_zip, slides
from workflow import site as offline
from workflow.dependencies import all_needs

ROOT = Path(__file__).resolve().parents[1]


@pytest.fixture
def extension(monkeypatch):
    """The extension for downloads."""
    monkeypatch.syspath_prepend(ROOT / "book" / "_ext")
    import downloads

    return downloads


# ---- the site ---------------------------------------------------------------------


def test_the_zip_of_the_site_has_every_file_and_opens(smoke, tmp_path):
    """In one folder, whole, with the page to open at the top."""
    html = smoke / "_build" / "html"
    made = offline.packed(html, tmp_path / "site.zip", "book")
    with zipfile.ZipFile(made) as archive:
        assert archive.testzip() is None
        names = {name.removeprefix("book/") for name in archive.namelist() if name.startswith("book/")}
        assert len(names) == len(archive.namelist())
    assert names == {path.relative_to(html).as_posix() for path in html.rglob("*") if path.is_file()}
    assert "index.html" in names
    assert list(tmp_path.iterdir()) == [made]


def test_the_site_works_from_the_disk(smoke, tmp_path, browser, watch):
    """Unpacked and opened without a server: the first page, a formula of a chapter, and no request elsewhere."""
    with zipfile.ZipFile(offline.packed(smoke / "_build" / "html", tmp_path / "site.zip")) as archive:
        archive.extractall(tmp_path)
    base = (tmp_path / offline.NAME).as_uri() + "/"
    context = browser.new_context()
    problems = watch(context, base)
    page = context.new_page()
    page.goto(f"{base}index.html")
    page.wait_for_selector(".bea-figure svg")
    page.goto(f"{base}results/12_one_layer.html")
    page.wait_for_selector("mjx-container")
    context.close()
    assert problems == []


# ---- the slides -------------------------------------------------------------------


def test_slides_open_from_the_disk_without_an_error(smoke, browser, watch):
    """Every slide is shown, formulas are set, explorables run, numbers are there, and nobody else is asked."""
    first = slides.make(smoke)
    base = first.parent.as_uri() + "/"
    context = browser.new_context(viewport={"width": 1280, "height": 800}, reduced_motion="reduce")
    problems = watch(context, base)
    page = context.new_page()
    page.goto(first.as_uri())
    page.wait_for_function("() => window.Reveal?.isReady()")
    page.wait_for_selector("mjx-container", state="attached")
    page.wait_for_selector("#plane svg", state="attached")
    number = page.evaluate("() => Reveal.getTotalSlides()")
    outside = []
    for _ in range(number):
        outside += page.evaluate("""() => {
          const slide = Reveal.getCurrentSlide(), box = slide.getBoundingClientRect();
          return box.bottom > innerHeight + 1 ? [slide.querySelector("h1, h2, h3").textContent] : [];
        }""")
        page.evaluate("() => { while (Reveal.nextFragment()); Reveal.next(); }")
    noted = page.locator("aside.notes").count()
    context.close()
    assert problems == []
    assert outside == []
    assert number > 20
    assert noted == number


def test_the_times_of_the_slides_are_those_of_a_class(smoke):
    """Five parts, ninety minutes together, and every note begins no earlier than the one before."""
    text = (ROOT / "book" / "slides" / "index.md").read_text(encoding="utf-8")
    minutes = [int(number) for number in re.findall(r"^(\d+) minutes$", text, re.MULTILINE)]
    assert minutes[:4] == [25, 10, 25, 20]
    assert sum(minutes) == 90
    times = [60 * int(hours) + int(rest) for hours, rest in re.findall(r"^(\d):(\d\d)[.: ]", text, re.MULTILINE)]
    assert times == sorted(times)
    assert times[-1] < 90


# ---- a chapter --------------------------------------------------------------------


def test_every_chapter_has_a_zip_with_all_that_its_code_imports(smoke):
    """The notebook, those that have to run before, and every module that any of them reaches."""
    needs = all_needs(ROOT)
    for name in needs:
        with zipfile.ZipFile(smoke / "_build" / "html" / "chapters" / f"{name}.zip") as archive:
            names = {member.removeprefix(f"{name}/") for member in archive.namelist()}
        for chapter in [*needs[name].chapters, name]:
            notebook = ROOT / "notebooks" / f"{chapter}.ipynb"
            assert f"notebooks/{chapter}.ipynb" in names
            cells = json.loads(notebook.read_text(encoding="utf-8"))["cells"]
            code = "\n".join("".join(cell["source"]) for cell in cells if cell["cell_type"] == "code")
            assert {path.relative_to(ROOT).as_posix() for path in files_reached(code, ROOT)} <= names


def test_a_chapter_comes_after_all_that_it_reads():
    """Also after what those read."""
    needs = all_needs(ROOT)
    for name in needs:
        order = [*chapter_zip.chain(name, needs), name]
        assert len(set(order)) == len(order)
        for place, chapter in enumerate(order):
            assert set(needs[chapter].chapters) <= set(order[:place])


def test_the_zip_of_a_chapter_runs(tmp_path):
    """With nothing but what is in it on the path of modules."""
    name = "10_linear_systems"
    with zipfile.ZipFile(chapter_zip.write(name, tmp_path / "chapter.zip", ROOT)) as archive:
        archive.extractall(tmp_path)
    folder = tmp_path / name
    kept = {key: value for key, value in os.environ.items() if not key.startswith("BEA_")}
    command = [sys.executable, "-m", "workflow.execute", name, "--edition", "smoke"]
    run = subprocess.run(
        command, cwd=folder, env=kept | {"PYTHONPATH": str(folder)}, capture_output=True, text=True, check=False
    )
    assert run.returncode == 0, run.stderr
    made = json.loads((folder / "results" / f"{name}.json").read_text(encoding="utf-8"))
    assert made["cells"]["example"]["backward"] < 1e-3
    assert len((folder / "README.md").read_text(encoding="utf-8").splitlines()) == 6


# ---- figures and links --------------------------------------------------------------


def test_a_figure_can_be_taken_along_as_svg_and_png(browser, site, tmp_path):
    """Both are pictures of the figure, with its name; the buttons stand below every figure."""
    page = browser.new_page(accept_downloads=True)
    page.goto(f"{site}results/12_one_layer.html")
    lines = page.locator("figure.bea-figure .figure-downloads")
    assert lines.count() == page.locator("figure.bea-figure svg").count() > 1
    found = {}
    for kind in ("SVG", "PNG"):
        with page.expect_download() as caught:
            lines.first.get_by_text(kind, exact=True).click()
        found[kind] = tmp_path / caught.value.suggested_filename
        caught.value.save_as(found[kind])
    assert [path.suffix for path in found.values()] == [".svg", ".png"]
    assert all(path.stem.startswith("12_one_layer-") for path in found.values())
    width, height = (int.from_bytes(found["PNG"].read_bytes()[at : at + 4]) for at in (16, 20))
    box = page.locator("figure.bea-figure svg").first.get_attribute("viewBox").split()
    assert [width, height] == [pytest.approx(3 * float(size), abs=1) for size in box[2:]]
    page.goto(found["SVG"].as_uri())
    drawn = page.evaluate(
        "() => [document.documentElement.tagName, document.documentElement.outerHTML.includes('var(')]"
    )
    page.close()
    assert drawn == ["svg", False]


def test_no_button_leads_elsewhere_without_an_address(extension, smoke):
    """And with one, both lead to the notebook in that repository."""
    assert extension.launch_links("", "notebooks/12_one_layer.ipynb") == {}
    links = extension.launch_links("https://github.com/somebody/companion/", "notebooks/12_one_layer.ipynb")
    assert links["Binder"].startswith("https://mybinder.org/v2/gh/somebody/companion/main?")
    assert links["Binder"].endswith("notebooks/12_one_layer.ipynb")
    assert links["Colab"].endswith(f"/github/somebody/companion/blob/main/{extension.LAUNCHER}")
    pages = (smoke / "_build" / "html" / "results").glob("*.html")
    assert not [page.name for page in pages if re.search("mybinder|colab", page.read_text(encoding="utf-8"))]


def test_the_notebook_for_colab_knows_the_address_and_runs_a_chapter(extension, tmp_path):
    """Of the tree as it is committed, fetched from here instead; the packages are those that are installed."""
    cells = {
        cell["id"]: "".join(cell["source"]) for cell in json.loads((ROOT / extension.LAUNCHER).read_text())["cells"]
    }
    address = yaml.safe_load((ROOT / "_config.yml").read_text())["sphinx"]["config"]["companion_repository"]
    assert f'REPOSITORY = "{address}"' in cells["choose"]
    choose = cells["choose"].replace(f'"{address}"', f'"{ROOT.as_uri()}"', 1).replace("%pip", "# %pip")
    script = "\n".join([choose, cells["before"], cells["chapter"]])
    (tmp_path / "run.ipy").write_text(script, encoding="utf-8")
    run = subprocess.run(
        [sys.executable, "-m", "IPython", "run.ipy"], cwd=tmp_path, capture_output=True, text=True, check=False
    )
    assert run.returncode == 0, run.stderr
    made = json.loads((tmp_path / "companion" / "results" / "10_linear_systems.json").read_text(encoding="utf-8"))
    assert made["cells"]["example"]["backward"] < 1e-3


# ---- for students -----------------------------------------------------------------


def test_the_book_for_students_asks_for_no_solutions(tmp_path, monkeypatch):
    """The setting is the one that the exercises' extension has, and all others stay; the pages go elsewhere."""
    (tmp_path / "_build").mkdir()
    (tmp_path / "_config.yml").write_text((ROOT / "_config.yml").read_text(encoding="utf-8"), encoding="utf-8")
    asked = []
    monkeypatch.setattr(offline, "render", lambda book, *options, log: asked.append(options) or (0, log))
    pages = offline.without_solutions(tmp_path)
    options = dict(zip(asked[0][:4:2], asked[0][1:4:2], strict=True))
    settings = yaml.safe_load(Path(options["--config"]).read_text(encoding="utf-8"))
    assert settings["sphinx"]["config"].pop("hide_solutions") is True
    places = settings["sphinx"].pop("local_extensions")
    assert set(places.values()) == {str(tmp_path.resolve() / "book" / "_ext")}
    others = yaml.safe_load((ROOT / "_config.yml").read_text(encoding="utf-8"))
    assert places.keys() == others["sphinx"].pop("local_extensions").keys()
    assert settings == others
    assert pages.is_relative_to(options["--path-output"])
    assert pages != tmp_path / "_build" / "html"
