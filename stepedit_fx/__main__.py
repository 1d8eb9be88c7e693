"""`python -m stepedit_fx` is the `stepedit-fx` command."""

from stepedit_fx.cli import main

if __name__ == "__main__":  # worker processes import this module again under another name
    main()
