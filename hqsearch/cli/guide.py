"""``hqsearch guide``."""

from __future__ import annotations

import click

from hqsearch.cli.output import out


@click.command()
@click.argument("page", required=False)
def guide(page: str | None) -> None:
    """The documentation: its pages, or one of them (PAGE)."""
    from hqsearch import guide as documentation

    if page is not None:
        _show(documentation.page(page).text)
        return
    pages = documentation.pages().values()
    width = max(len(one.name) for one in pages)
    for one in pages:
        click.echo(f"{one.name:<{width}}  {one.about}")
    click.echo("\nhqsearch guide PAGE shows one.")


def _show(text: str) -> None:
    """Rendered on a terminal; as it is in a pipe or a file."""
    if out.is_terminal:
        from rich.markdown import Markdown

        out.print(Markdown(text))
    else:
        click.echo(text, nl=False)
