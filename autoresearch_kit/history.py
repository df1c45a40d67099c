"""Where `ark.history` is looked up; nothing else may import this module.

Importing a submodule binds its name in the package: a module `history` imported by another
module would stand in the way of the function of that name.
"""

from autoresearch_kit.histories import history as history
