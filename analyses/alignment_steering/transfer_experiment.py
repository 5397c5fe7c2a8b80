"""The step `transfer`: carry every pair's vector to every other, read out, then tables and report.

from analyses.alignment_steering.transfer_config import Transfer
from analyses.alignment_steering.transfer_experiment import run_transfer
run_transfer(Transfer(models=("pocket-mistral", "pocket-qwen2-l"))).tables["transfer"]
"""

import time
from collections.abc import Iterator

from analyses.alignment_steering.transfer_config import Transfer
from analyses.alignment_steering.transfer_plan import TransferPlan, plan_transfer
from analyses.alignment_steering.transfer_summary import summarize_transfer
from analyses.alignment_steering.transfer_tables import transfer_tables
from analyses.alignment_steering.transferred import measure_transfers
from analyses.results import Results
from tl_geometry.runs import open_run


def run_transfer(config: Transfer) -> Results:
    """What the run's folder already holds is not measured again, cell by cell.

    A pair that cannot be loaded or mapped is a row with its reason. ValueError for a request that
    cannot be carried out, before any weight is loaded; RuntimeError if nothing could be measured.
    """
    from figures import redraw

    began, plan = time.monotonic(), plan_transfer(config)
    with open_run(plan.folder, plan.spec, policy=config.policy) as record:
        failed = measure_transfers(plan, record)
        tables = transfer_tables(plan, record, failed)
        if tables["transfer"].empty:
            reasons = "; ".join(tables["missing"]["reason"])
            raise RuntimeError(f"no vector could be carried: {reasons}")
        for name, table in tables.items():
            record.write_table(name, table)
        summary = summarize_transfer(plan, tables, record, seconds=time.monotonic() - began)
        record.write_json("summary.json", summary)  # it marks the run as finished
        redraw(record.folder, config.export)
    return Results(record.folder, tables, summary)


def transfer_cost(plan: TransferPlan) -> Iterator[str]:
    """What a run costs, for --dry-run."""
    config, words, n = plan.config, plan.wordings, len(plan.measurable)
    for pair in plan.pairs:
        layers = "" if pair.reason else f", steered at layers {plan.steered(pair)}"
        yield f"{pair.name}: {pair.reason or 'can be read'}{layers}"
    strengths, maps = len(config.strengths), len(config.maps)
    conditions = (n - 1) * maps * strengths * (1 + 3 * config.draws)
    conditions += strengths * (1 + config.draws) + 2
    asked = (n - 1) * maps * strengths * 4 + 2 * strengths + 2
    held_out = (
        len(words.held_out_pairs) + len(words.held_out_requests) + len(words.held_out_neutral)
    )
    read = 2 * len(words.preference) + len(words.neutral)
    yield f"vectors of {plan.vectors.folder}"
    yield f"{n} × {n} cells, {3 * n} loads of models, one at a time (and those of `extract`)"
    yield f"a target: {conditions} conditions with {read} texts each = {conditions * read:,} read"
    yield f"  {asked} of them asked {len(words.requests)} requests for {config.new_tokens} tokens"
    yield f"  states of {len(words.fit)} texts to fit maps, {held_out} to test them"
    fits = n * (n - 1) * maps * (config.shuffles + 1) * config.last_layers
    yield f"{fits:,} maps fitted, all but one of {config.shuffles + 1} on shuffled pairings"
