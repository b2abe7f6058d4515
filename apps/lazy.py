"""Commands that load their module only when called, so that `shankha --help` answers at once."""

from __future__ import annotations

from collections.abc import Sequence
from importlib import import_module
from typing import Any, cast

import typer
from typer.core import TyperCommand, TyperGroup


class LazyCommand(TyperCommand):
    """Stands for a command in its group's list and loads the real one when it is called or asked for its help.

    Args:
        name: What the user types.
        target: "module:function" (a plain function with Typer's annotations) or "module:app" (a Typer app).
        summary: The line in the group's list; the same as the first line of the real command's help.
    """

    def __init__(self, name: str, target: str, summary: str) -> None:
        super().__init__(name, help=summary)
        self.target = target

    def load(self) -> TyperCommand | TyperGroup:
        """Import the target and make its command."""
        module, _, attribute = self.target.partition(":")
        found = getattr(import_module(module), attribute)
        if isinstance(found, typer.Typer):
            return typer.main.get_group(found)
        alone = typer.Typer(add_completion=False)
        alone.command(self.name)(found)
        return cast("TyperCommand", typer.main.get_command(alone))

    def make_context(self, info_name: str | None, args: list[str], *rest: Any, **options: Any) -> Any:
        """Parse the arguments as the real command does; the context that comes back is the real command's."""
        return self.load().make_context(info_name, args, *rest, **options)


def group(name: str, summary: str, commands: Sequence[TyperCommand | TyperGroup], *, example: str) -> TyperGroup:
    """A group of commands, listed in the order given."""
    return TyperGroup(
        name=name,
        help=summary,
        epilog=f"Example: {example}",
        commands={command.name or "": command for command in commands},
        no_args_is_help=True,
    )
