"""What a wrong call probably meant: the nearest command, or the command that has the option."""

from __future__ import annotations

from difflib import get_close_matches

import click


class SuggestingGroup(click.Group):
    """A group that names the nearest command to one that it does not have."""

    def resolve_command(
        self, context: click.Context, arguments: list[str]
    ) -> tuple[str | None, click.Command | None, list[str]]:
        name = str(arguments[0])
        if not (context.resilient_parsing or name.startswith("-")) and self.get_command(context, name) is None:
            near = get_close_matches(name, self.list_commands(context))
            hint = f"the nearest is {' or '.join(near)}" if near else f"{context.command_path} --help lists them"
            context.fail(f"No such command {name!r}; {hint}.")
        return super().resolve_command(context, arguments)


def explained(wrong_call: click.ClickException, group: click.Group) -> click.ClickException:
    """The failure of a wrong call; of an option that stands elsewhere, with the words where."""
    context = getattr(wrong_call, "ctx", None)
    if not isinstance(wrong_call, click.NoSuchOption) or not isinstance(context, click.Context):
        return wrong_call
    option, root = wrong_call.option_name, context.find_root().command_path
    if option in _options_of(group) and context.command is not group:
        called = f"{root} {option}{context.command_path.removeprefix(root)}"
        return click.UsageError(f"No such option: {option}; it stands before the command: {called}.", ctx=context)
    owners = [name for name, command in _commands(group, context) if option in _options_of(command)]
    if not owners:
        return wrong_call
    named = " and ".join(filter(None, [", ".join(owners[:-1]), owners[-1]]))
    return click.UsageError(f"No such option: {option}; it is an option of {named}.", ctx=context)


def _options_of(command: click.Command) -> list[str]:
    options = [parameter for parameter in command.params if isinstance(parameter, click.Option)]
    return [text for option in options for text in (*option.opts, *option.secondary_opts)]


def _commands(group: click.Group, context: click.Context) -> list[tuple[str, click.Command]]:
    """All commands of a group and of the groups in it, as they are called."""
    found: list[tuple[str, click.Command]] = []
    for name in group.list_commands(context):
        command = group.get_command(context, name)
        if isinstance(command, click.Group):
            found += [(f"{name} {inner}", one) for inner, one in _commands(command, context)]
        elif command is not None:
            found.append((name, command))
    return found
