"""The only package that runs git.

Everything here writes objects and refs; nothing touches the user's index, files or stash.
Trees are built in a temporary index, refs move in one transaction with compare-and-swap.
"""

from __future__ import annotations

from autoresearch_kit.git.annotations import blame as blame
from autoresearch_kit.git.checkouts import checked_out as checked_out
from autoresearch_kit.git.checkouts import export as export
from autoresearch_kit.git.checkouts import fast_forward as fast_forward
from autoresearch_kit.git.checkouts import uncommitted as uncommitted
from autoresearch_kit.git.logs import Branch as Branch
from autoresearch_kit.git.logs import Logged as Logged
from autoresearch_kit.git.logs import branches as branches
from autoresearch_kit.git.logs import commits as commits
from autoresearch_kit.git.logs import find_commits as find_commits
from autoresearch_kit.git.logs import is_bundle as is_bundle
from autoresearch_kit.git.logs import log as log
from autoresearch_kit.git.logs import merge_base as merge_base
from autoresearch_kit.git.logs import patches as patches
from autoresearch_kit.git.logs import read_many as read_many
from autoresearch_kit.git.logs import unbundled as unbundled
from autoresearch_kit.git.objects import ABSENT as ABSENT
from autoresearch_kit.git.objects import CommitInfo as CommitInfo
from autoresearch_kit.git.objects import changed_files as changed_files
from autoresearch_kit.git.objects import commit_all as commit_all
from autoresearch_kit.git.objects import commit_files as commit_files
from autoresearch_kit.git.objects import commit_info as commit_info
from autoresearch_kit.git.objects import contains as contains
from autoresearch_kit.git.objects import count_lines as count_lines
from autoresearch_kit.git.objects import diff as diff
from autoresearch_kit.git.objects import head as head
from autoresearch_kit.git.objects import is_ancestor as is_ancestor
from autoresearch_kit.git.objects import list_files as list_files
from autoresearch_kit.git.objects import merge_file as merge_file
from autoresearch_kit.git.objects import read_bytes as read_bytes
from autoresearch_kit.git.objects import read_file as read_file
from autoresearch_kit.git.objects import read_tree as read_tree
from autoresearch_kit.git.objects import resolve as resolve
from autoresearch_kit.git.objects import size as size
from autoresearch_kit.git.objects import write_tag as write_tag
from autoresearch_kit.git.objects import write_tree as write_tree
from autoresearch_kit.git.process import borrowing as borrowing
from autoresearch_kit.git.process import call as call
from autoresearch_kit.git.process import check_tag as check_tag
from autoresearch_kit.git.process import common_dir as common_dir
from autoresearch_kit.git.process import identity as identity
from autoresearch_kit.git.process import init as init
from autoresearch_kit.git.process import root as root
from autoresearch_kit.git.process import text as text
from autoresearch_kit.git.refs import Annotated as Annotated
from autoresearch_kit.git.refs import RefsMoved as RefsMoved
from autoresearch_kit.git.refs import RefUpdate as RefUpdate
from autoresearch_kit.git.refs import annotated_tags as annotated_tags
from autoresearch_kit.git.refs import refs as refs
from autoresearch_kit.git.refs import refs_stamp as refs_stamp
from autoresearch_kit.git.refs import update_refs as update_refs
from autoresearch_kit.git.remotes import Remote as Remote
from autoresearch_kit.git.remotes import bundle as bundle
from autoresearch_kit.git.remotes import fetch as fetch
from autoresearch_kit.git.remotes import push as push
from autoresearch_kit.git.remotes import remote as remote
from autoresearch_kit.git.remotes import remote_refs as remote_refs
