import os

from hypothesis import settings

# The same examples in every run of the CI, so that a red build is red again.
settings.register_profile(
    "llmcost-ci", settings.get_profile("llmcost"), derandomize=True, print_blob=True
)
if os.environ.get("CI"):
    settings.load_profile("llmcost-ci")
