"""The console script ``spikinghash``: the project's commands under one name."""

import sys

COMMANDS = {
    "train": ("training.train", "train an encoder"),
    "figures": ("training.figures", "draw the similarity matrices of a checkpoint"),
    "publish": ("training.publish", "strip a checkpoint to what deployment needs"),
    "evaluate": ("export.encoder.evaluate", "retrieval figures of a checkpoint"),
    "to-nir": ("deploy.backends.to_nir", "write a checkpoint as a NIR graph"),
    "to-onnx": ("export.onnx.to_onnx", "write a checkpoint as an ONNX model"),
    "to-c": ("export.c.to_c", "write a checkpoint as C for a microcontroller"),
    "to-sanafe": ("deploy.backends.to_sanafe", "write a NIR graph for SANA-FE, mapped to cores"),
    "inspect": ("export.nir.inspect", "show what a NIR or ONNX file holds, and draw it"),
    "verify": ("deploy.backends.verify", "compare all backends, layer by layer"),
    "formats": ("training.formats", "list the formats of event files"),
    "info": ("training.info", "what event files, or a folder of them, hold"),
    "windows": ("training.try_windows", "how to cut long recordings"),
    "run": ("deploy.backends.run", "hash codes of recordings"),
    "stream": ("deploy.live.__main__", "hash codes of a live stream of events"),
    "search": ("deploy.search.__main__", "index recordings and find the nearest"),
    "web": ("deploy.web.__main__", "write a page that runs an encoder in the browser"),
    "place": ("deploy.energy.mapping.__main__", "map a network onto the cores of a chip"),
    "hosts": ("deploy.report.hosts.__main__", "measure latency and energy on this machine"),
    "report": ("deploy.report.__main__", "energy and latency per hardware"),
    "demo": ("deploy.demo", "the whole line on the committed checkpoint"),
    "setup-lava": ("spikinghash.setup_lava", "build the environment of the Lava simulator"),
    "completion": ("spikinghash.completion", "print what completes commands in a shell"),
    "profiles": ("hardware_profiles.__main__", "list and check the hardware profiles"),
}


def main() -> None:
    """Run ``spikinghash COMMAND ...``; each command is also ``python -m MODULE``."""
    command = sys.argv[1] if len(sys.argv) > 1 else ""
    if command == "--version":
        from spikinghash import __version__

        print(f"spikinghash {__version__}")
        return
    if command not in COMMANDS:
        asked = command in ("", "-h", "--help")
        lines = [f"  {name:10} {what}" for name, (_, what) in COMMANDS.items()]
        usage = "\n".join(["usage: spikinghash COMMAND ... | --version", "", *lines])
        if asked:
            print(usage)
        else:
            from spikinghash.names import meant

            print(f"error: no command {command!r}{meant(command, COMMANDS)}\n{usage}", file=sys.stderr)
        sys.exit(0 if asked else 2)
    from spikinghash.cli import run

    sys.argv[:2] = [f"spikinghash {command}"]
    run(COMMANDS[command][0], sys.argv[0])


if __name__ == "__main__":
    main()
