"""The command line: translates arguments to calls, and errors to messages and exit codes."""

from __future__ import annotations

EXIT_INTERRUPTED = 130  # 128 + SIGINT, as a shell has it


def main() -> None:
    """Run the command line; Ctrl-C while it loads ends it as quietly as later on."""
    try:
        from stepedit_fx.interrupts import kept_interrupts

        with kept_interrupts():
            from stepedit_fx.cli import app

            app.main()
    except KeyboardInterrupt:
        raise SystemExit(EXIT_INTERRUPTED) from None
