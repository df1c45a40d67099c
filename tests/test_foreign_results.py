"""Results files of other people's repositories: every mess that occurs in public, one file each."""

from __future__ import annotations

import contextlib
import inspect
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from autoresearch_kit.errors import CampaignError
from autoresearch_kit.foreign import cells, columns, direction, lines, results
from autoresearch_kit.foreign.tables import Row, Table

HISTORIES = Path(__file__).parent / "histories"

# What each file of tests/histories/ comes to: goal, metric and unit; then for each row the number
# of its line, its commit (with the label before it where they differ, * for a dirty tree), value
# and status (? for none); then all notes.
CASES = {
    "aligned-blanks.txt": r"""
        minimize val_bpb
        2 a1b2c3d 1.0123 keep
        3 b2c3d4e None crash
        4 c3d4e5f None crash
        - cells are separated by blanks
        - a crash has no val_bpb; the file has 0.000000 there
        - lower val_bpb is better, as the name says (bpb)
        - line 3: more cells than columns: the rest belongs to description
        - line 4: fewer cells than columns: missing ones are empty
        - line 4: cells stand in other columns: placed by the verdict
    """,
    "backslash-t.tsv": r"""
        minimize val_bpb
        2 a1b2c3d 1.0123 keep
        3 b2c3d4e 1.0045 keep
        4 c3d4e5f 1.0099 discard
        - lower val_bpb is better, as the name says (bpb)
        - line 3: separated by the two characters \t, unlike the rest
        - line 4: separated by commas, unlike the rest
    """,
    "before-after-delta.tsv": r"""
        minimize after
        2 6932b6a 742.0 keep
        3 5d6e710 744.0 discard
        4 620479e 690.0 keep
        - words in kept read as verdicts: yes → keep (2), no → discard
        - lower after is better, as the verdicts say: 1 of 1 kept value falls and 1 of 1
            discarded one lies above the last kept one
    """,
    "best-is-kept.tsv": r"""
        minimize val_bpb
        2 a1b2c3d 1.0123 keep
        3 b2c3d4e 1.0045 keep
        4 c3d4e5f 1.004 keep
        5 d4e5f6a 1.0041 below best
        - words in status read as verdicts: NEW_BEST → keep, best → keep
        - words in status that are no verdict stay as they are: below best
        - lower val_bpb is better, as the name says (bpb)
        - line 2: the start, as it says (baseline): its status is keep
    """,
    "commas-as-elsewhere.tsv": r"""
        minimize val_loss
        2 a1b2c3d 3.214 keep
        3 b2c3d4e 3.19 keep
        - the metric is val_loss, on held-out data; also there: share
        - commas in val_loss are taken for decimal points, as in share
        - lower val_loss is better, as the name says (loss)
    """,
    "commas-between-thousands.tsv": r"""
        minimize latency_us in us
        2 a1b2c3d 3214.0 keep
        3 b2c3d4e 3190.0 keep
        4 c3d4e5f 3250.0 discard
        - commas in latency_us are taken to part thousands, for other columns have decimal
            points
        - lower latency_us is better, as the name says (us)
    """,
    "commas-of-either-kind.csv": r"""
        minimize val_loss
        2 a1b2c3d 3.214 keep
        3 b2c3d4e 3.19 keep
        4 c3d4e5f 3.25 discard
        - cells are separated by semicolons
        - commas in val_loss are taken for decimal points, as where cells are separated by
            semicolons
        - lower val_loss is better, as the name says (loss)
    """,
    "comments-and-blank-lines.tsv": r"""
        minimize val_bpb
        5 a1b2c3d 1.0123 keep
        8 b2c3d4e 1.0045 keep
        10 c3d4e5f 1.0099 discard
        - lower val_bpb is better, as the name says (bpb)
        - lines 1, 2 and 7: a comment, left out
    """,
    "data-frame.csv": r"""
        minimize zeal
        2  3.3 ?
        3  3.2 ?
        4  3.4 ?
        - no column has verdicts: nothing says what was kept
        - lower zeal is better, a guess: neither its name nor the verdicts tell; pass
            goal='maximize' if that is wrong
        - no column has hashes of commits
    """,
    "date-and-time.csv": r"""
        minimize val_loss
        2 a1b2c3d 3.2 keep
        3 b2c3d4e 3.11 keep
        - lower val_loss is better, as the name says (loss)
        - lines 2 and 3: the date has no time zone: taken for UTC
    """,
    "dates.tsv": r"""
        minimize val_bpb
        2 a1b2c3d 1.0123 keep
        3 b2c3d4e 1.0045 keep
        4 c3d4e5f 1.0044 keep
        5 d4e5f6a 1.0099 discard
        6 e5f6a7b 1.0098 discard
        7 f6a7b8c 1.0097 discard
        8 a7b8c9d 1.0096 discard
        9 b8c9d0e 1.0095 discard
        10 c9d0e1f 1.0094 discard
        - lower val_bpb is better, as the name says (bpb)
        - lines 5 and 9: the date has no time zone: taken for UTC
        - lines 6 and 7: the date has no year or no day: left as it is written
        - line 8: day and month of the date can't be told apart: left as it is written
        - line 10: no date: left as it is written
    """,
    "decimal-commas.csv": r"""
        minimize val_loss
        2 a1b2c3d 3.2 keep
        3 b2c3d4e 3.115 keep
        4 c3d4e5f 3.5 discard
        - cells are separated by semicolons
        - commas in val_loss are decimal points
        - lower val_loss is better, as the name says (loss)
    """,
    "direction-in-a-comment.tsv": r"""
        maximize metric
        3 '-'= 71.98 keep
        4 6492f41 76.96 keep
        5 5a178c3 76.54 discard
        - higher metric is better, as the file says (higher_is_better)
        - 1 row has no hash where one is expected: -
        - line 1: a comment, left out
        - line 3: the start, as it says (baseline): its status is keep
    """,
    "direction-unknown.tsv": r"""
        minimize wobble
        2 a1b2c3d 4.1 keep
        3 b2c3d4e 4.4 discard
        - lower wobble is better, a guess: neither its name nor the verdicts tell; pass
            goal='maximize' if that is wrong
    """,
    "dirty-hashes.tsv": r"""
        minimize val_bpb
        2 'a1b2c3d-dirty'=a1b2c3d* 1.0123 keep
        3 b2c3d4e 1.0045 keep
        4 'c3d4e5f+'=c3d4e5f* 1.0099 discard
        5 'v1.2-3-gd4e5f6a-dirty'=d4e5f6a* 1.0044 keep
        - lower val_bpb is better, as the name says (bpb)
        - lines 2, 4 and 5: a dirty tree, so the commit isn't all of it
    """,
    "empty.tsv": r"""
        minimize
    """,
    "extra-columns.tsv": r"""
        minimize val_bpb
        2 a1b2c3d 1.0123 keep
        3 b2c3d4e 1.0045 keep
        4 c3d4e5f 1.0099 discard
        - the metric is val_bpb, on held-out data; also there: mfu
        - lower val_bpb is better, as the name says (bpb)
    """,
    "far-off-values.tsv": r"""
        maximize sharpe
        2 'exp0'= None baseline
        3 'exp1'= 1.079 keep
        4 'exp2'= None discard
        5 'exp3'= 0.68 discard
        6 'exp4'= 1.136 keep
        - the metric is sharpe, the first with a metric's name; also there: max_dd
        - words in status read as verdicts: revert → discard (2)
        - words in status that are no verdict stay as they are: baseline
        - higher sharpe is better, as the name says (sharpe)
        - 5 rows have no hash where one is expected: exp0, exp1, exp2, exp3, exp4
        - lines 2 and 4: sharpe is -999, far from all others: taken for none
    """,
    "hashes-of-any-length.tsv": r"""
        minimize val_bpb
        2 a1b2c3d4e5f60718293a4b5c6d7e8f9012345678 1.0123 keep
        3 b2c3d 1.0045 keep
        4 1234567 1.0044 keep
        5 'C3D4E5F'=c3d4e5f 1.0099 discard
        6 'added'= 1.01 discard
        - lower val_bpb is better, as the name says (bpb)
        - 1 row has no hash where one is expected: added
    """,
    "header-again.tsv": r"""
        minimize val_bpb
        2 a1b2c3d 1.0123 keep
        4 b2c3d4e 1.0045 keep
        6 c3d4e5f 1.0099 discard
        - lower val_bpb is better, as the name says (bpb)
        - line 3: the header again
        - line 5: another header: columns change here
    """,
    "header-alone.tsv": r"""
        minimize val_bpb
        - lower val_bpb is better, as the name says (bpb)
    """,
    "header-in-a-comment.tsv": r"""
        minimize val_bpb
        2 a1b2c3d 1.0123 keep
        3 b2c3d4e 1.0045 keep
        - lower val_bpb is better, as the name says (bpb)
        - line 1: a comment that is the header
    """,
    "higher-is-better.csv": r"""
        maximize eval_acc
        2 a1b2c3d 0.71 keep
        3 b2c3d4e 0.69 discard
        4 c3d4e5f 0.75 keep
        - higher eval_acc is better, as the name says (acc)
    """,
    "line-ends-and-order-mark.tsv": r"""
        minimize val_bpb
        2 a1b2c3d 1.0123 keep
        3 b2c3d4e 1.0045 keep
        - lower val_bpb is better, as the name says (bpb)
    """,
    "markdown-table.md": r"""
        minimize val_bpb
        7 '[a1b2c3d](https://example.org/x/commit/a1b2c3d4e5f6)'=a1b2c3d4e5f6 1.0123 keep
        8 '`b2c3d4e`'=b2c3d4e 1.0045 keep
        9 c3d4e5f 1.0099 discard
        - cells are separated by bars
        - lower val_bpb is better, as the name says (bpb)
        - lines 1 and 11: a comment, left out
        - line 3: text beside the table, left out
        - lines 13 and 15: another table, left out
    """,
    "memory-without-a-unit.tsv": r"""
        minimize val_bpb
        2 a1b2c3d 1.0123 keep
        3 b2c3d4e 1.0045 keep
        - lower val_bpb is better, as the name says (bpb)
        - line 2: vram has no unit: taken for GB
        - line 3: vram has no unit: taken for MB
    """,
    "merge-conflict.tsv": r"""
        minimize val_bpb
        3 a1b2c3d 1.0123 keep
        5 b2c3d4e 1.0045 keep
        - lower val_bpb is better, as the name says (bpb)
        - lines 2, 4 and 6: a marker of a merge conflict, left out
    """,
    "more-than-a-number.tsv": r"""
        minimize val_loss
        2 a1b2c3d 0.98 keep
        3 b2c3d4e 0.96 keep
        4 c3d4e5f 0.97 discard
        5 d4e5f6a 0.95 keep
        - lower val_loss is better, as the name says (loss)
        - lines 2, 3 and 4: val_loss has more than a number, such as 0.98 (±0.01)
    """,
    "names-twice.tsv": r"""
        maximize score
        2 a1b2c3d 0.51 keep
        3 b2c3d4e 0.55 keep
        - two columns are called score: the later one is score_2 here
        - the metric is score, named as the one that counts; also there: score_2
        - higher score is better, as the name suggests (score)
    """,
    "names-unknown.tsv": r"""
        minimize zeal
        2  0.99 ?
        3  0.94 ?
        - the metric is zeal, the first that is no count or time; also there: block
        - no column has verdicts: nothing says what was kept
        - lower zeal is better, a guess: neither its name nor the verdicts tell; pass
            goal='maximize' if that is wrong
        - no column has hashes of commits
    """,
    "no-header-counted.tsv": r"""
        minimize column_3
        1 '-'= 35261.0 discard
        2 '-'= None crash
        3 9788b69a0 9546.0 keep
        4 a0ffe6cd7 9194.0 keep
        - there is no header; columns are taken by what is in them: 1 for iteration, 2 for
            commit, 6 for status, 7 for description
        - the metric is column_3, the first that is no count or time; also there: column_4
        - lower column_3 is better, a guess: neither its name nor the verdicts tell; pass
            goal='maximize' if that is wrong
        - 2 rows have no hash where one is expected: - (2)
    """,
    "no-header-other-columns.tsv": r"""
        maximize column_4
        1 'HEAD'= 3.3 keep
        2 'HEAD'= 0.56 discard
        3 'HEAD'= 4.2 keep
        - there is no header; columns are taken by what is in them: 1 for commit, 6 for status,
            7 for description
        - higher column_4 is better, as the verdicts say: 1 of 1 kept value rises and 1 of 1
            discarded one lies below the last kept one
        - 3 rows have no hash where one is expected: HEAD (3)
    """,
    "no-header.tsv": r"""
        minimize val_bpb
        1 a1b2c3d 1.0123 keep
        2 b2c3d4e 1.0045 keep
        3 c3d4e5f 1.0099 discard
        - there is no header; the columns are taken for commit, val_bpb, memory_gb, status,
            description
        - lower val_bpb is better, as the name says (bpb)
    """,
    "no-verdicts.csv": r"""
        maximize val_box_iou
        2  None crash
        3  0.7051 ?
        4  0.7203 ?
        - the metric is val_box_iou, the first on held-out data; also there: val_cls_acc,
            training_seconds
        - no column has verdicts: nothing says what was kept
        - a crash has no val_box_iou; the file has crash there
        - higher val_box_iou is better, as the name says (iou)
        - no column has hashes of commits
        - line 2: val_box_iou tells of a crash, so the status is crash
        - lines 2, 3 and 4: the date has no time zone: taken for UTC
    """,
    "not-understood.tsv": r"""
        minimize val_bpb
        2 a1b2c3d 1.0123 keep
        3  None ?
        4 b2c3d4e 1.0045 keep
        - lower val_bpb is better, as the name says (bpb)
        - 1 row has no hash where one is expected: nothing
        - line 3: not understood: its text is the description
        - line 3: no verdict
    """,
    "numbers-after-a-hash-sign.tsv": r"""
        minimize val_bpb
        2 '#1'= 1.0123 keep
        3 '#2'= 1.0045 keep
        - lower val_bpb is better, as the name says (bpb)
        - no column has hashes of commits
    """,
    "percent-and-fractions.tsv": r"""
        maximize accuracy
        2 a1b2c3d 0.71 keep
        3 b2c3d4e 0.735 keep
        4 c3d4e5f 0.72 discard
        - accuracy is written in per cent in 2 rows: divided by 100
        - higher accuracy is better, as the name says (accuracy)
    """,
    "percent-and-thousands.tsv": r"""
        maximize win_rate in %
        2 a1b2c3d 41.5 keep
        3 b2c3d4e 43.25 keep
        4 c3d4e5f 39.0 discard
        - the metric is win_rate, with a metric's name; also there: games
        - higher win_rate is better, as the name says (win)
    """,
    "question-mark.csv": r"""
        minimize val_loss
        2 '0'= 3.3 keep
        3 '1'= 3.2 keep
        4 '2'= 3.4 discard
        - words in kept? read as verdicts: True → keep (2), False → discard
        - lower val_loss is better, as the name says (loss)
        - no column has hashes of commits
    """,
    "quotes.csv": r"""
        minimize val_bpb
        2 a1b2c3d 1.0123 keep
        3 b2c3d4e 1.0045 keep
        4 c3d4e5f 1.0099 discard
        6 d4e5f6a 1.01 discard
        - lower val_bpb is better, as the name says (bpb)
        - line 5: part of the row above: its quoted cell has several lines
    """,
    "ragged.tsv": r"""
        minimize val_bpb
        2 a1b2c3d 1.0123 keep
        3 b2c3d4e None crash
        4 c3d4e5f 1.0045 keep
        5 d4e5f6a 1.004 keep
        6 e5f6a7b 1.0099 ?
        - lower val_bpb is better, as the name says (bpb)
        - lines 3, 4 and 6: fewer cells than columns: missing ones are empty
        - lines 3 and 5: cells stand in other columns: placed by the verdict
        - line 5: more cells than columns: the rest is in the column unnamed
        - line 6: no verdict
    """,
    "renamed-columns.tsv": r"""
        minimize val_rmse
        2 a1b2c3d 2.41 keep
        3 b2c3d4e 2.38 keep
        4 c3d4e5f 2.52 discard
        - lower val_rmse is better, as the name says (rmse)
    """,
    "reordered-columns.tsv": r"""
        minimize val_loss
        2 a1b2c3d 3.2 keep
        3 b2c3d4e 3.31 discard
        4 c3d4e5f 3.11 keep
        - lower val_loss is better, as the name says (loss)
    """,
    "same-hash-twice.tsv": r"""
        minimize val_bpb
        2 a1b2c3d 1.0123 keep
        3 b2c3d4e 1.0045 keep
        4 a1b2c3d 1.0119 discard
        - lower val_bpb is better, as the name says (bpb)
        - the same commit stands more than once: a1b2c3d in lines 2 and 4
    """,
    "score-that-falls.tsv": r"""
        minimize score
        2 a1b2c3d 930.0 keep
        3 b2c3d4e 902.0 keep
        4 c3d4e5f 950.0 discard
        5 d4e5f6a 871.0 keep
        - lower score is better, as the verdicts say: 2 of 2 kept values fall and 1 of 1
            discarded one lies above the last kept one
    """,
    "several-metrics.tsv": r"""
        minimize val_loss
        2 a1b2c3d 2.1 keep
        3 b2c3d4e 2.05 keep
        4 c3d4e5f 2.4 discard
        - the metric is val_loss, the first on held-out data; also there: train_loss, val_acc,
            ane_util_pct
        - lower val_loss is better, as the name says (loss)
    """,
    "single-blanks.txt": r"""
        minimize val_bpb
        2 a1b2c3d 1.0123 keep
        3 b2c3d4e 1.0045 keep
        - cells are separated by blanks
        - lower val_bpb is better, as the name says (bpb)
    """,
    "start-by-its-description.tsv": r"""
        minimize val_bpb
        2 a1b2c3d None crash
        3 b2c3d4e 1.0123 keep
        4 c3d4e5f 1.0045 keep
        5 d4e5f6a 1.02 baseline
        - a crash has no val_bpb; the file has 0.000000 there
        - words in status that are no verdict stay as they are: baseline
        - lower val_bpb is better, as the name says (bpb)
        - line 3: the start, as it says (baseline with half the batch): its status is keep
    """,
    "stray-quotes.tsv": r"""
        minimize val_bpb
        2 a1b2c3d 1.0123 keep
        3 b2c3d4e 1.0045 keep
        4 c3d4e5f 1.0099 discard
        - lower val_bpb is better, as the name says (bpb)
    """,
    "tabs-in-descriptions.tsv": r"""
        minimize val_bpb
        2 a1b2c3d 1.0123 keep
        3 b2c3d4e 1.0045 keep
        4 c3d4e5f 1.0099 discard
        - lower val_bpb is better, as the name says (bpb)
        - line 3: more cells than columns: the rest belongs to description
    """,
    "tabs-in-the-middle.tsv": r"""
        minimize val_bpb
        2 a1b2c3d 1.0123 keep
        3 b2c3d4e 1.0045 keep
        - lower val_bpb is better, as the name says (bpb)
        - line 3: more cells than columns: the rest belongs to description
        - line 3: cells stand in other columns: placed by the verdict
    """,
    "the-original.tsv": r"""
        minimize val_bpb
        2 a1b2c3d 1.0123 keep
        3 b2c3d4e 1.0045 keep
        4 c3d4e5f 1.0099 discard
        5 d4e5f6a None crash
        - a crash has no val_bpb; the file has 0.000000 there
        - lower val_bpb is better, as the name says (bpb)
    """,
    "tokens-per-second.tsv": r"""
        maximize tok_per_sec
        2 a1b2c3d 2274.4 keep
        3 b2c3d4e 2147.1 discard
        4 c3d4e5f 2519.3 keep
        - higher tok_per_sec is better, as the name says (per sec)
    """,
    "total-of-parts.tsv": r"""
        minimize total_us in us
        2 '-'= 289.22 keep
        3 34388968e 264.01 keep
        4 d2fededc6 265.16 keep
        - the metric is total_us, the whole of the others; also there: parse_us, render_us
        - lower total_us is better, as the name says (us)
        - 1 row has no hash where one is expected: -
        - line 2: the start, as it says (baseline): its status is keep
    """,
    "units-in-cells.tsv": r"""
        minimize runtime in s
        2 a1b2c3d 1.2 keep
        3 b2c3d4e 0.95 keep
        4 c3d4e5f 1.1 discard
        5 d4e5f6a 0.9 keep
        - runtime is in s, ms: converted to s
        - lower runtime is better, as the name says (runtime)
        - line 5: memory has no unit: taken for MB
    """,
    "unquoted-commas.csv": r"""
        minimize val_bpb
        2 a1b2c3d 1.0123 keep
        3 b2c3d4e 1.0045 keep
        4 c3d4e5f 1.0099 discard
        - lower val_bpb is better, as the name says (bpb)
        - lines 3 and 4: more cells than columns: the rest belongs to description
    """,
    "values-of-crashes.tsv": r"""
        minimize val_bpb
        2 a1b2c3d 1.0123 keep
        3 b2c3d4e None crash
        4 c3d4e5f None crash
        5 d4e5f6a None crash
        6 e5f6a7b None crash
        7 f6a7b8c None crash
        8 a7b8c9d None crash
        9 b8c9d0e None crash
        10 c9d0e1f None crash
        11 d0e1f2a None discard
        - words in status read as verdicts: reverted → discard
        - a crash has no val_bpb; the file has 0.000000, 100.0, nan, inf, OOM, FAILED and 1
            more there
        - lower val_bpb is better, as the name says (bpb)
        - line 9: val_bpb tells of a crash, so the status is crash, not discard
        - line 10: val_bpb tells of a crash, so the status is crash
        - line 11: val_bpb is no number: nan
    """,
    "verdicts-against-the-name.tsv": r"""
        minimize val_loss
        2 a1b2c3d 0.5 keep
        3 b2c3d4e 0.61 keep
        4 c3d4e5f 0.55 discard
        5 d4e5f6a 0.7 keep
        - lower val_loss is better, as the name says (loss)
        - the verdicts speak against that: 2 of 2 kept values rise and 1 of 1 discarded one
            lies below the last kept one; pass goal='maximize' if they are right
    """,
    "words-for-hashes.tsv": r"""
        minimize val_bpb
        2 'baseline'= 1.0123 keep
        3 'none'= 1.0099 discard
        4  1.01 discard
        5 'exp003'= 1.0045 keep
        6 b2c3d4e 1.004 keep
        7 '0000000'= 1.02 discard
        - lower val_bpb is better, as the name says (bpb)
        - 5 rows have no hash where one is expected: baseline, none, nothing, exp003, 0000000
    """,
    "words-for-verdicts.tsv": r"""
        minimize val_bpb
        2 a1b2c3d 1.0123 keep
        3 b2c3d4e 1.0045 keep
        4 c3d4e5f 1.004 keep
        5 d4e5f6a 1.0035 keep
        6 e5f6a7b 1.0099 discard
        7 f6a7b8c 1.01 discard
        8 a7b8c9d 1.0101 discard
        9 b8c9d0e 1.0036 interesting
        10 c9d0e1f 1.0037 run
        11 d0e1f2a None crash
        12 e1f2a3b None crash
        13 f2a3b4c None refused
        14 a3b4c5d 1.003 keep
        - words in status read as verdicts: KEEP ✓ → keep, accepted → keep, improved → keep,
            rejected → discard, no improvement → discard, reverted_worse → discard and 3 more
        - words in status that are no verdict stay as they are: interesting, run
        - lower val_bpb is better, as the name says (bpb)
        - line 2: the start, as it says (baseline): its status is keep
    """,
    "zero-that-counts.tsv": r"""
        minimize sorry_count
        2 'exp000'= 2.0 keep
        3 'exp001'= 1.0 keep
        4 'exp002'= 0.0 keep
        5 'exp003'= 0.0 discard
        - lower sorry_count is better, as the name says (sorry)
        - no column has hashes of commits
    """,
    "zeros-that-are-scores.tsv": r"""
        maximize score
        2 a1b2c3d 0.0 discard
        3 b2c3d4e 0.0 discard
        4 c3d4e5f 1.6176 discard
        5 d4e5f6a 0.0 discard
        6 e5f6a7b 1.2871 keep
        7 f6a7b8c 1.4031 keep
        - the metric is score, named as the one that counts; also there: sharpe
        - score is 0 in 3 of 6 rows, too many for failures: it counts
        - higher score is better, as the name suggests (score)
    """,
    "zeros-without-a-crash.tsv": r"""
        minimize val_bpb
        2 a1b2c3d 1.0123 keep
        3 b2c3d4e None discard
        4 c3d4e5f 1.0045 keep
        - lower val_bpb is better, as the name says (bpb)
        - line 3: val_bpb is 0, which would be the best and was not kept: taken for none
        - line 4: memory_gb is 0: taken for unknown
    """,
}

# Columns that the table above leaves out, for each row.
COLUMNS: list[tuple[str, str, list[Any]]] = [
    ("the-original.tsv", "memory_mb", [45056.0, 45260.8, 45056.0, None]),
    ("no-header-other-columns.tsv", "column_2", ["tiny-model-4bit"] * 3),
    ("no-header-counted.tsv", "iteration", [8.0, 4.0, 6.0, 7.0]),
    ("no-header-counted.tsv", "column_4", [14.0, None, -1924.0, -352.0]),
    ("renamed-columns.tsv", "memory_mb", [1536.0, 1540.0, 1540.0]),
    ("renamed-columns.tsv", "description", ["baseline", "deeper trees", "no bagging"]),
    ("reordered-columns.tsv", "description", ["baseline", "dropout 0.1", "wider"]),
    ("names-unknown.tsv", "spec", ["k8v4", "k2v4"]),
    ("several-metrics.tsv", "ane_util_pct", [62.0, 64.0, 80.0]),
    ("several-metrics.tsv", "train_loss", [1.5, 1.32, 0.9]),
    ("before-after-delta.tsv", "before", [891.0, 742.0, 742.0]),
    ("before-after-delta.tsv", "delta", [-149.0, 2.0, -52.0]),
    ("direction-in-a-comment.tsv", "guard", ["pass", "pass", "skip"]),
    ("markdown-table.md", "description", ["baseline", "width | depth", "`GeLU`"]),
    ("markdown-table.md", "#", [1.0, 2.0, 3.0]),
    (
        "far-off-values.tsv",
        "sharpe_as_written",
        ["-999.000", "1.079", "-999.000", "0.680", "1.136"],
    ),
    ("no-verdicts.csv", "val_cls_acc", [None, 0.8435, 0.8401]),
    ("no-verdicts.csv", "memory_mb", [None, 1875.0, 1877.0]),
    ("percent-and-thousands.tsv", "games", [1234.0, 1234.0, 980.0]),
    ("percent-and-thousands.tsv", "tokens", [151e3, 1.2e6, 151e3]),
    ("units-in-cells.tsv", "memory_mb", [2560.0, 2560.0, 900.0, 850.0]),
    (
        "more-than-a-number.tsv",
        "val_loss_as_written",
        ["0.98 (±0.01)", "0.98 -> 0.96", "~0.97", "0.95"],
    ),
    ("commas-of-either-kind.csv", "memory_mb", [1152.0] * 3),
    ("commas-as-elsewhere.tsv", "share", [0.5, 0.25]),
    ("data-frame.csv", "column_1", [0.0, 1.0, 2.0]),
    ("decimal-commas.csv", "memory_mb", [4608.0, 4608.0, 4710.4]),
    ("decimal-commas.csv", "description", ["baseline", "wider, deeper", "narrow"]),
    (
        "quotes.csv",
        "description",
        [
            "baseline, as it came",
            'args="--fast" and more',
            "first line\nsecond line, with a comma",
            'say "hello"',
        ],
    ),
    (
        "unquoted-commas.csv",
        "description",
        ["baseline", "lr 0.04, wd 0.1, more steps", "quoted, once, then not"],
    ),
    ("stray-quotes.tsv", "description", ['"baseline', '"SSSL" instead of "L"', '5" of text']),
    (
        "tabs-in-descriptions.tsv",
        "description",
        ["baseline", "lr 0.04\twd 0.1\tmore steps", "GeLU"],
    ),
    ("tabs-in-the-middle.tsv", "description", ["baseline", "lr 0.04\twd 0.1"]),
    (
        "ragged.tsv",
        "description",
        ["baseline", "width doubled", "", "with a column that no header names", ""],
    ),
    ("ragged.tsv", "unnamed", [None, None, None, 3.5, None]),
    ("comments-and-blank-lines.tsv", "description", ["baseline", "# of heads doubled", "GeLU"]),
    ("header-again.tsv", "mfu", [None, None, 39.8]),
    ("aligned-blanks.txt", "memory_mb", [45056.0, None, None]),
    ("single-blanks.txt", "description", ["baseline", "more steps in the same time"]),
    ("backslash-t.tsv", "description", ["baseline", "echo without -e", "commas for once"]),
    (
        "dates.tsv",
        "decided",
        [
            "2026-03-08T14:05:00+00:00",
            "2026-03-08T13:10:00+00:00",
            "2026-03-08T14:15:00+00:00",
            "2026-03-08T14:20:00+00:00",
            "",
            "",
            "",
            "2026-03-28T14:40:00+00:00",
            "",
        ],
    ),
    ("date-and-time.csv", "decided", ["2026-03-08T14:05:00+00:00", "2026-03-08T14:11:30+00:00"]),
    ("memory-without-a-unit.tsv", "memory_mb", [45056.0, 45060.2]),
    ("zeros-without-a-crash.tsv", "memory_mb", [45056.0, 45056.0, None]),
    ("extra-columns.tsv", "mfu", [39.8, None, 41.2]),
    ("extra-columns.tsv", "lr", ["0.04", "4e-2", "auto"]),
    ("extra-columns.tsv", "parent_commit", ["1234567", "a1b2c3d", "b2c3d4e"]),
    ("extra-columns.tsv", "notes", ["", "at last", ""]),
    ("names-twice.tsv", "score_2", [0.4, 0.42]),
    ("names-twice.tsv", "column_4", ["x", "y"]),
    (
        "not-understood.tsv",
        "description",
        ["baseline", "Batch two starts here, on the other machine.", "more steps"],
    ),
]

ORIGINAL = "\t".join(columns.ORIGINAL)


def read(name: str, goal: str | None = None) -> Table:
    return results.read((HISTORIES / name).read_bytes().decode(), name, goal)


def shown(table: Table) -> list[str]:
    def row(r: Row) -> str:
        commit = r.commit + "*" * r.dirty
        who = commit if r.label == commit else f"{r.label!r}={commit}"
        return f"{r.line} {who} {r.value} {r.status or '?'}"

    head = f"{table.goal} {table.metric}".rstrip() + (f" in {table.unit}" if table.unit else "")
    return [head, *map(row, table.rows), *(f"- {note}" for note in table.notes)]


def stated(text: str) -> list[str]:
    """The lines of a case; one that is indented deeper goes on with the one above."""
    return inspect.cleandoc(text).replace("\n    ", " ").split("\n")


@pytest.mark.parametrize("name", CASES)
def test_a_file_gives_the_stated_rows_and_notes(name: str):
    assert shown(read(name)) == stated(CASES[name])


def test_the_file_with_other_line_ends_has_them():
    raw = (HISTORIES / "line-ends-and-order-mark.tsv").read_bytes()
    assert raw.startswith(b"\xef\xbb\xbf")
    assert raw.count(b"\r\n") == raw.count(b"\n") == 3


@pytest.mark.parametrize("name", ["quotes.csv", "the-original.tsv", "no-header.tsv"])
def test_line_ends_and_an_order_mark_change_nothing(name: str):
    text = (HISTORIES / name).read_text()
    told = results.read(text, name)
    assert results.read("\ufeff" + text.replace("\n", "\r\n"), name) == told
    if name != "quotes.csv":
        assert results.read(text.replace("\n", "\r"), name) == told


def test_a_word_in_quotes_between_tabs_keeps_them():
    text = f'{ORIGINAL}\na1b2c3d\t1.0\t44.0\tkeep\t"SSSL"\n'
    assert results.read(text, "results.tsv").rows[0].description == '"SSSL"'


def test_every_file_is_stated():
    assert {path.name for path in HISTORIES.iterdir()} == CASES.keys()


@pytest.mark.parametrize(("name", "column", "expected"), COLUMNS)
def test_a_file_gives_the_stated_columns(name: str, column: str, expected: list[Any]):
    rows = read(name).rows
    own = column in Row.__dataclass_fields__
    assert [getattr(r, column) if own else r.extra[column] for r in rows] == expected


def test_a_clean_file_has_no_further_columns():
    assert all(not row.extra for row in read("the-original.tsv").rows)


def test_text_that_could_not_be_read_as_a_date_stays_as_a_column():
    assert [r.extra["timestamp"] for r in read("dates.tsv").rows if not r.decided] == [
        "Mar 8 14:25", "14:30", "03/08/2026 14:35", "soon",
    ]  # fmt: skip


@pytest.mark.parametrize("goal", ["minimize", "maximize"])
@pytest.mark.parametrize("name", ["the-original.tsv", "direction-unknown.tsv", "empty.tsv"])
def test_a_goal_that_is_given_wins(name: str, goal: str):
    assert read(name, goal).goal == goal


def test_a_goal_that_is_none_is_an_error():
    with pytest.raises(ValueError, match="'up'; expected 'minimize' or 'maximize'"):
        results.read("", "results.tsv", "up")


def test_the_name_decides_what_commas_mean_in_a_file_of_one_column():
    table = results.read("val_loss\n3.2\n3.1\n", "losses.csv")
    assert [row.value for row in table.rows] == [3.2, 3.1]


@pytest.mark.parametrize(
    "text",
    [
        "nothing here\n",
        "# A kit\n\n- Use `x | y`, keep it simple.\n| one | discard this |\n",
        '[project]\nname = "x"\nkeep = ["a", "b"]\nversion = "1.2"\n\n[tool.x]\ny = [1, 2]\n',
        "import os\n\n\ndef main():\n    return 3\n",
    ],
)
def test_a_text_without_experiments_is_an_error(text: str):
    name = "notes.md" if text.startswith("#") else "notes"
    with pytest.raises(CampaignError, match=rf"{name} is no file of experiments.*Expected a row"):
        results.read(text, name)


@pytest.mark.parametrize(
    "text",
    [
        f"{chr(9).join(columns.ORIGINAL)}\nx\tsoon\t\t\tnot run yet\n",
        "3.2\n3.1\n",
        "a1b2c3d\tfirst\nb2c3d4e\tsecond\n",
        "baseline\tkeep\nwider\tdiscard\n",
    ],
)
def test_a_header_or_a_number_or_a_hash_or_a_verdict_makes_it_a_history(text: str):
    assert results.read(text, "night.tsv").rows


def test_a_start_is_kept_only_when_it_comes_first():
    head = "commit\tval_loss\tstatus\n"
    later = results.read(head + "a1b2c3d\t1.0\tkeep\nb2c3d4e\t0.9\tbaseline\n", "r.tsv").rows
    assert [row.status for row in later] == ["keep", "baseline"]
    told = results.read(head + "a1b2c3d\t1.0\tdiscard\nb2c3d4e\t0.9\tbase\n", "r.tsv").rows
    assert [row.status for row in told] == ["discard", "base"]
    for word in ("BASELINE", "base", "Initial", "start", "baseline (as it came)"):
        table = results.read(f"{head}a1b2c3d\t1.0\t{word}\nb2c3d4e\t0.9\tkeep\n", "r.tsv")
        assert [row.status for row in table.rows] == ["keep", "keep"]
        assert any("the start, as it says" in note for note in table.notes)


def test_rare_zeros_and_those_of_crashes_are_no_scores():
    head = "commit\tscore\tmemory_gb\tstatus\n"
    body = [f"a1b2c{i:02x}\t1.{i}\t4.0\t{'keep' if i % 2 else 'discard'}\n" for i in range(9)]
    rare = results.read(head + "".join([*body, "b2c3d4e\t0.0\t4.0\tdiscard\n"]), "r.tsv")
    assert rare.rows[-1].value is None
    assert any("score is 0, rare and far from all others" in note for note in rare.notes)
    crashed = [f"b2c3d{i:02x}\t0.0\t0.0\tdiscard\n" for i in range(9)]
    like = results.read(head + "".join([*body, *crashed]), "r.tsv")
    assert all(row.value is None for row in like.rows[9:])
    assert any("in what looks like a crash" in note for note in like.notes)


def test_a_bare_zero_makes_no_per_cent_a_fraction():
    text = "commit\taccuracy\tstatus\na1b2c3d\t71.2%\tkeep\nb2c3d4e\t0.000000\tcrash\n"
    table = results.read(text, "r.tsv")
    assert ([row.value for row in table.rows], table.unit) == ([71.2, None], "%")


def test_one_long_word_may_name_a_column():
    name = "validation_bits_per_byte_of_the_held_out_shard"
    table = results.read(f"commit\t{name}\tstatus\na1b2c3d\t1.0\tkeep\n", "r.tsv")
    assert (table.metric, [row.value for row in table.rows]) == (name, [1.0])


def test_a_description_may_be_very_long():
    words = "very " * 100_000
    text = f"{ORIGINAL}\na1b2c3d\t1.0\t44.0\tkeep\t{words}\nb2c3d4e\t0.9\t44.0\tkeep\tshort\n"
    first, second = results.read(text, "results.tsv").rows
    assert (first.description, second.description) == (words.strip(), "short")


def test_many_lines_are_named_by_the_first_of_them():
    text = "\n".join(["commit\tval_loss\tstatus", *["a1b2c3d\t\tkeep"] * 40])
    notes = results.read(text, "results.tsv").notes
    assert "lines 2, 3, 4, 5, 6 and 35 more: val_loss is missing" in notes


@pytest.mark.parametrize(
    ("text", "value", "unit", "rest"),
    [
        ("0.98", 0.98, "", ""),
        ("-1e-3", -1e-3, "", ""),
        ("−0.5", -0.5, "", ""),
        ("+14", 14, "", ""),
        (".5", 0.5, "", ""),
        ("1,234", 1234, "", ""),
        ("1,234,567.8", 1234567.8, "", ""),
        ("1.234,5", 1234.5, "", ""),
        ("1.234.567,8", 1234567.8, "", ""),
        ("0,981", 0.981, "", ""),
        ("3,2", 3.2, "", ""),
        ("151K", 151e3, "", ""),
        ("1.5B", 1.5e9, "", ""),
        ("1.23%", 1.23, "%", ""),
        ("12.3 ms", 12.3, "ms", ""),
        ("130 tok/s", 130, "tok/s", ""),
        ("2.1x", 2.1, "x", ""),
        ("12 MB", 12, "MB", ""),
        ("$0.12", 0.12, "", ""),
        ("**0.97**", 0.97, "", ""),
        ("0.98 ± 0.01", 0.98, "", "± 0.01"),
        ("0.98 best", 0.98, "", "best"),
        ("1.0 → 0.98", 0.98, "", "1.0 → 0.98"),
        ("nan", None, "", ""),
        ("-inf", None, "", ""),
        ("1e999", None, "", ""),
    ],
)
def test_a_number_is_read_from_a_cell(text: str, value: float | None, unit: str, rest: str):
    assert cells.number(text)[:3] == (value, unit, rest)


@pytest.mark.parametrize(
    "text",
    [
        "",
        "-",
        "OOM",
        "3x2",
        "v1.2",
        "1.2.3",
        "1,23,4",
        "2026-03-08",
        "10:30",
        "lr 0.1 → 0.2",
        "٣",
        "²",
    ],
)
def test_other_cells_are_no_numbers(text: str):
    assert cells.number(text) is None


@pytest.mark.parametrize(
    ("text", "verdict"),
    [
        ("keep", "keep"),
        ("KEEP ✓", "keep"),
        ("**kept**", "keep"),
        ("keep (reworked)", "keep"),
        ("new best: improved", "keep"),
        ("best", "keep"),
        ("NEW_BEST!", "keep"),
        ("best so far", "keep"),
        ("second best", "second best"),
        ("保留✔✔", "keep"),
        ("Rejected", "discard"),
        ("REVERT", "discard"),
        ("rolled back", "discard"),
        ("no improvement", "discard"),
        ("did not improve", "discard"),
        ("failed to improve", "discard"),
        ("reverted_oom", "discard"),
        ("OOM", "crash"),
        ("out of memory", "crash"),
        ("timed out", "crash"),
        ("synth_failed", "crash"),
        ("NaN", "crash"),
        ("refused", "refused"),
        ("quarantine", "quarantine"),
        ("Interesting", "interesting"),
        ("ok", "ok"),
        ("1", "1"),
        ("", ""),
    ],
)
def test_a_word_becomes_a_verdict_or_stays(text: str, verdict: str):
    assert cells.status(text) == verdict


def test_yes_and_no_are_verdicts_only_where_they_are_asked_for():
    assert [cells.status(w, yes_no=True) for w in ("yes", "0", "True")] == [
        "keep", "discard", "keep",
    ]  # fmt: skip
    assert cells.status("yes") == "yes"


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("2026-03-08T14:05:00Z", ("2026-03-08T14:05:00+00:00", "")),
        ("2026-05-14T09:08:53+03:00", ("2026-05-14T06:08:53+00:00", "")),
        ("1772978700.5", ("2026-03-08T14:05:00.500000+00:00", "")),
        ("1772978700000", ("2026-03-08T14:05:00+00:00", "")),
        ("20260308-140500", ("2026-03-08T14:05:00+00:00", "zone")),
        ("Sun Mar  8 14:05:00 2026", ("2026-03-08T14:05:00+00:00", "zone")),
        ("Sun, 08 Mar 2026 14:05:00 +0000", ("2026-03-08T14:05:00+00:00", "")),
        ("8 Mar 2026", ("2026-03-08T00:00:00+00:00", "zone")),
        ("08.03.2026 14:05", ("2026-03-08T14:05:00+00:00", "zone")),
        ("28/03/2026", ("2026-03-28T00:00:00+00:00", "zone")),
        ("03/08/2026", ("", "order")),
        ("Mar 8 14:05", ("", "year")),
        ("9999-12-31T23:59:59-12:00", ("", "none")),
        ("0.98", ("", "none")),
        ("2 hours ago", ("", "none")),
    ],
)
def test_a_date_is_read_in_any_form(text: str, expected: tuple[str, str]):
    assert cells.moment(text) == expected


@pytest.mark.parametrize(
    ("name", "goal"),
    [
        ("val_loss", "minimize"),
        ("valLoss", "minimize"),
        ("ppl", "minimize"),
        ("Latency (ms)", "minimize"),
        ("error_rate", "minimize"),
        ("neg_log_likelihood", "minimize"),
        ("accuracy_loss", "minimize"),
        ("width ↓", "minimize"),
        ("acc", "maximize"),
        ("mAP@50", "maximize"),
        ("win_rate", "maximize"),
        ("tok/s", "maximize"),
        ("tg_tok_s", "maximize"),
        ("tokens_per_sec", "maximize"),
        ("speedup_vs_eager", "maximize"),
        ("error_reduction", "maximize"),
        ("neg_mse", "maximize"),
        ("wobble", ""),
        ("macro_f1", "maximize"),
        ("f16_to_f32/f32_to_f1", ""),
        ("cvt_f1", ""),
    ],
)
def test_a_name_tells_the_direction(name: str, goal: str):
    assert direction.of_name(name)[0] == goal


def test_a_new_baseline_is_what_the_next_experiments_are_compared_with():
    words = ["keep", "keep", "baseline", "keep", "discard"]
    assert direction.of_course([10.0, 9.0, 50.0, 48.0, 49.0], words) == (2, 0, 1, 0)


# Any text

HASHES = st.text("0123456789abcdef", min_size=7, max_size=40).filter(lambda h: h.strip("0"))
LABELS = HASHES | st.sampled_from(["baseline", "none", "exp003"])
WORDS = st.text(st.characters(exclude_categories=["C", "Z"]) | st.just(" "), max_size=30)


@st.composite
def rows(draw: st.DrawFn) -> Row:
    label = draw(LABELS)
    status = draw(st.sampled_from(["keep", "discard", "crash"]))
    crash = status == "crash"
    return Row(
        line=0,
        label=label,
        commit=cells.commit(label)[0],
        value=None if crash else draw(st.integers(500_000, 1_500_000)) / 1e6,
        status=status,
        description=draw(WORDS.map(str.strip).filter(lambda text: not text.startswith('"'))),
        memory_mb=None if crash else draw(st.integers(1, 1900)) / 10 * 1024,
    )


@given(st.lists(rows(), min_size=1, max_size=8))
def test_the_originals_form_reads_back_equal(given: list[Row]):
    written = [ORIGINAL]
    for row in given:
        value, memory = f"{row.value or 0:.6f}", f"{(row.memory_mb or 0) / 1024:.1f}"
        written.append("\t".join([row.label, value, memory, row.status, row.description]))
    table = results.read("\n".join(written) + "\n", "results.tsv")
    expected = [(r.label, r.commit, r.value, r.status, r.description) for r in given]
    found = [(r.label, r.commit, r.value, r.status, r.description) for r in table.rows]
    assert found == expected
    assert [r.memory_mb for r in table.rows] == pytest.approx([r.memory_mb for r in given])
    assert [r.line for r in table.rows] == list(range(2, len(given) + 2))
    assert not any(r.extra for r in table.rows)


PIECES = st.sampled_from(
    (
        *("\t", ",", ";", "|", "\n", "\r", '"', "#", "- ", "---", "→", "/", "<<<<<<< ", "\ufeff"),
        *("keep", "crash", "discard", "commit", "val_loss", "status", "description", "memory"),
        *("0", "0.98", "nan", "1,5", "12%", "1e999", " GB", "K", "²", "a1b2c3d", "time\t"),
        *("2026-03-08", "Mar 8 14:05", "99/99/2026", "9999999999", "0001-01-01T00:00:00+23:59"),
        *("\x00", "\x85", "\ud800"),
    )
)
TEXTS = st.lists(PIECES | st.text(max_size=3), max_size=40).map("".join)


@settings(max_examples=300)
@given(TEXTS, st.sampled_from(["results.tsv", "results.csv", "RESULTS.md", "log"]))
def test_any_text_is_read_and_no_line_gets_lost(text: str, name: str):
    sheet = lines.read(text, name)
    with contextlib.suppress(CampaignError):  # it has no experiment
        assert len(results.read(text, name).rows) == len(sheet.rows)
    # What is no row is told: all lines but the first header and rules such as ----.
    told = {i for i, _ in sheet.rows} | {i for where in sheet.seen.values() for i in where}
    bare = text.removeprefix("\ufeff").replace("\r\n", "\n")
    bare = bare if "\n" in bare else bare.replace("\r", "\n")
    silent = [
        line
        for i, line in enumerate(bare.split("\n"), 1)
        if line.strip() and i not in told and not set(line) <= set("-=_*~|:+ \t\r\x85\ufeff")
    ]
    assert len(silent) <= 1


@given(st.lists(st.text("a1.9 \té", max_size=20), max_size=20))
def test_under_a_header_every_line_is_a_row(body: list[str]):
    table = results.read("\n".join([ORIGINAL, *body]), "results.tsv")
    filled = [i for i, line in enumerate(body, 2) if line.strip()]
    assert [row.line for row in table.rows] == filled
