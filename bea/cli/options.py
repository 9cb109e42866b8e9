"""What the commands of ``bea`` have in common: how they fail, and the arguments and options they share."""

import sys
from pathlib import Path

import click


class OneLine(click.Group):
    """A group of commands whose errors are one line each, with the exit code 2, whoever raises them."""

    def main(self, *arguments, standalone_mode=True, **options):
        """Run a command and leave Python."""
        try:
            code = super().main(*arguments, standalone_mode=False, **options)
        except click.exceptions.NoArgsIsHelpError as error:
            error.show()
            sys.exit(2)
        except click.Abort:
            sys.exit(130)
        except (click.ClickException, ValueError, TypeError, OSError, MemoryError, RuntimeError) as error:
            message = error.format_message() if isinstance(error, click.ClickException) else str(error)
            click.echo(f"bea: {' '.join(message.split())}", err=True)
            sys.exit(2)
        sys.exit(code if isinstance(code, int) else 0)


class On(click.ParamType):
    """What may change: a word, or numbers of layers and "input"."""

    name = "on"

    def convert(self, value, param, ctx):
        """Return it as ``bea.attack`` takes it."""
        if value in ("weights", "input", "both"):
            return value
        return tuple(int(part) if part.isdecimal() else part for part in value.split(","))


PATH = click.Path(path_type=Path)
MODEL = click.argument("model", type=PATH)
RANGE = click.option(
    "--range",
    "input_range",
    type=(float, float),
    metavar="LOW HIGH",
    help="Smallest and largest value that a pixel may have. Only network files know it themselves.",
)
LABEL = click.option(
    "--label", metavar="CLASS", help="True class, or a .npy file with one an image. [default: its own]"
)
CLIP = click.option("--clip", is_flag=True, help="Keep pixels in the range of the model, for changes of the input.")
OUT = click.option(
    "--out", type=PATH, metavar="FOLDER", help="Where arrays.npz, table.csv and picture.png are written."
)
READING = (
    click.argument("images", type=PATH),
    RANGE,
    click.option(
        "--divide", type=float, default=1.0, metavar="NUMBER", help="Divide all pixels by this, 255 for bytes."
    ),
    click.option("--array", metavar="NAME", help="Which array of an .npz file with several ones."),
    click.option("--first", type=click.IntRange(min=1), metavar="N", help="Read no more than so many images."),
)


def changing_option(default):
    """Return the option ``--on``."""
    return click.option(
        "--on",
        type=On(),
        default=default,
        show_default=True,
        metavar="weights|input|both|LAYERS",
        help='What may change; LAYERS are numbers of layers with weights, from 1, and "input": 1,3,input.',
    )


def reading(command):
    """Let a command have a model, images, how both are read, and where to write."""
    return images_only(OUT(command))


def images_only(command):
    """Let a command have a model, images, and how both are read."""
    for part in reversed((MODEL, *READING)):
        command = part(command)
    return command


def check_limits(net, clip) -> None:
    """Raise ``click.UsageError`` where pixels are to be kept in a range that nobody has said."""
    if clip and net.input_range is None:
        raise click.UsageError("--clip: expected a range of the pixels (--range LOW HIGH), received none")


def choices(methods):
    """Return the option ``--method``, the first one the default."""
    return click.option("--method", type=click.Choice(methods), default=methods[0], show_default=True)
