"""How help is laid out: a heading, and under it names on the left and what they are on the right."""

from typing import Any

from cyclopts.help import HelpEntry, HelpPanel, InlineText
from rich.console import Console, ConsoleOptions
from rich.table import Table
from rich.text import Text


class PanelWriter:
    """Writes help. See `cyclopts.help.protocols.HelpFormatter`."""

    def render_usage(self, console: Console, options: ConsoleOptions, usage: Any) -> None:
        """Write how the command is called."""
        console.print(Text(f"usage: {str(usage).strip()}"))

    def render_description(self, console: Console, options: ConsoleOptions, description: Any) -> None:
        """Write what the command does."""
        console.print()
        console.print(Text(_plain(description).strip()))

    def __call__(self, console: Console, options: ConsoleOptions, panel: HelpPanel) -> None:
        """Write one group of commands, arguments or options."""
        if not panel.entries:
            return
        console.print()
        title = "Options" if panel.title == "Parameters" else panel.title
        console.print(Text(f"{title}:", style="bold"))
        lines = Table.grid(padding=(0, 2, 0, 0))
        lines.add_column(no_wrap=True)
        lines.add_column(overflow="fold")
        for entry in panel.entries:
            lines.add_row(Text("  " + ", ".join(entry.display_labels_with_metavar)), _about(entry))
        with console.capture() as capture:
            console.print(lines)
        # Columns are filled up to their width; at the end of a line that is only in the way.
        console.file.writelines(f"{line.rstrip()}\n" for line in capture.get().splitlines())


def _about(entry: HelpEntry) -> Text:
    parts = [" ".join(_plain(entry.description).split())]
    if entry.choices:
        parts.append(f"[{', '.join(entry.choices)}]")
    if entry.required:
        parts.append("[required]")
    return Text(" ".join(part for part in parts if part))


def _plain(description: Any) -> str:
    text = description.primary_renderable if isinstance(description, InlineText) else description
    return text.plain if isinstance(text, Text) else str(text or "")
