"""What the tests of explorables that stand in a chapter share."""

CHAPTERS = {  # explorable: the chapter in which it stands
    "least-norm": "12_one_layer",
    "linearise": "27_the_converged_attack",
    "bystanders": "12_one_layer",
    "threshold": "23_law_of_epsilon",
    "three-pixels": "41_four_theorems",
}


def state(page, variable):
    """Return the inputs and numbers that an explorable holds."""
    return page.evaluate(f"window.explorables.{variable}.state()")


def change(page, variable, **inputs):
    """Give an explorable other inputs; return what it then holds."""
    return page.evaluate(f"change => window.explorables.{variable}.set(change)", inputs)


def verdict(page, name):
    """Return the sentence that says what is seen."""
    return page.inner_text(f"#{name} .explorable-verdict").replace("\u00a0", " ")


def numbers(page, name):
    """Return the table of numbers, row by row, opened or not."""
    rows = page.locator(f"#{name} table tbody tr")
    return rows.evaluate_all("all => all.map((row) => [...row.children].map((cell) => cell.textContent))")
