"""Scripts that complete the commands' names and options in a shell: ``eval "$(spikinghash completion bash)"``."""

from typing import Annotated, Literal

import typer

from spikinghash.__main__ import COMMANDS
from spikinghash.cli import run

Shell = Literal["bash", "zsh", "fish"]

_OPTIONS = "spikinghash $command --help 2>/dev/null | grep -oE -- '--[a-z][a-z-]+' | sort -u"
_BASH = """_spikinghash() {{
    local word=${{COMP_WORDS[COMP_CWORD]}} command=${{COMP_WORDS[1]}}
    if [ "$COMP_CWORD" = 1 ]; then
        COMPREPLY=($(compgen -W '{names}' -- "$word"))
    elif [[ $word == -* ]]; then
        COMPREPLY=($(compgen -W "$({options})" -- "$word"))
    else
        COMPREPLY=($(compgen -f -- "$word"))
    fi
}}
complete -o filenames -F _spikinghash spikinghash
"""
_FISH = """complete -c spikinghash -n __fish_use_subcommand -f -a '{names}'
complete -c spikinghash -n 'not __fish_use_subcommand' -a \\
    '(set command (commandline -opc)[2]; {options})'
"""
_SCRIPTS: dict[Shell, str] = {
    "bash": _BASH,
    "zsh": "autoload -U +X bashcompinit && bashcompinit\n" + _BASH,
    "fish": _FISH,
}


def main(shell: Annotated[Shell, typer.Argument(help="The shell that reads it.")]) -> None:
    """Print what completes the commands' names and options in a shell."""
    print(_SCRIPTS[shell].format(names=" ".join(sorted(COMMANDS)), options=_OPTIONS), end="")


if __name__ == "__main__":
    run(main)
