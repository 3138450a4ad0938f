"""``python -m llmcost_plugins``: the command ``llmcost``."""

from llmcost_plugins.cli import main

raise SystemExit(main())
