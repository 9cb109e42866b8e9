"""How a verdict looks: a shape of its own beside its name, so that colour is never all there is."""

from lab.claims import BY_DEFINITION, CONTRADICTED, CORRECTED, OPEN, REPRODUCED, UNDECIDED

DISC = '<circle cx="8" cy="8" r="6.5" {}/>'
RING = DISC.format('fill="none" stroke="currentColor" stroke-width="1.6"')
SHAPES = {  # standing: its class on the page, and its shape in a square of 16
    REPRODUCED: ("reproduced", DISC.format('fill="currentColor"')),
    BY_DEFINITION: ("definition", RING + '<path d="M4.5 6.4h7M4.5 9.6h7" stroke="currentColor" stroke-width="1.6"/>'),
    CORRECTED: ("corrected", RING + '<path d="M8 1.5a6.5 6.5 0 0 0 0 13z" fill="currentColor"/>'),
    CONTRADICTED: ("contradicted", '<path d="M3 3l10 10M13 3L3 13" stroke="currentColor" stroke-width="3"/>'),
    UNDECIDED: (
        "undecided",
        '<path d="M8 1.5L14.5 8 8 14.5 1.5 8z" fill="none" stroke="currentColor" stroke-width="1.8"/>',
    ),
    OPEN: ("open", DISC.format('fill="none" stroke="currentColor" stroke-width="1.6" stroke-dasharray="3 2.4"')),
}


def mark(standing: str) -> str:
    """Return a verdict as HTML: its shape and its name."""
    name, shape = SHAPES[standing]
    svg = f'<svg width="16" height="16" viewBox="0 0 16 16" aria-hidden="true">{shape}</svg>'
    return f'<span class="standing standing-{name}">{svg} {standing}</span>'
